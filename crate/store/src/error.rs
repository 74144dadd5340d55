//! What can go wrong between a server and the disk, in words for the person who waits.

/// Shorthand used throughout the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed download or a full disk. What was stored before stays.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The server answered, but not with the file.
    #[error("{} ({status} for {url})", status_words(*status))]
    Http {
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        url: String,
    },
    /// The server did not answer, or stopped in the middle.
    #[error("the server cannot be reached, or the connection broke ({url})")]
    Network {
        /// What was asked for.
        url: String,
    },
    /// The bytes are not those the catalog promises, twice in a row.
    #[error("shard {} of {count} is damaged: it was fetched twice and does not match its SHA-256 ({url})", index + 1)]
    Hash {
        /// Number of the shard, from 0.
        index: usize,
        /// Shards in all.
        count: usize,
        /// Where it came from.
        url: String,
    },
    /// The file on the server is no longer the one that was begun.
    #[error(
        "the file on the server is not what it was said to be: {expected} bytes were expected, {found} came ({url})"
    )]
    Changed {
        /// Bytes expected.
        expected: u64,
        /// Bytes received.
        found: u64,
        /// What was asked for.
        url: String,
    },
    /// Too little room, known before the download starts or met in its course.
    #[error("this model needs {} MB more, but the browser gives this page only {} MB: free disk space or remove a model",
            need.div_ceil(1_000_000), free / 1_000_000)]
    Quota {
        /// Bytes that have to be stored.
        need: u64,
        /// Bytes the browser still allows.
        free: u64,
    },
    /// Stopped on request.
    #[error("stopped; what has arrived is kept")]
    Aborted,
    /// Unknown model.
    #[error("there is no model \"{id}\" in the catalog; it has {known}")]
    UnknownModel {
        /// What was asked for.
        id: String,
        /// The ids there are.
        known: String,
    },
    /// IndexedDB refused.
    #[error("the browser's storage (IndexedDB) failed: {0}")]
    Database(String),
    /// A shard that should be stored is not.
    #[error("shard {} is not in storage; load the model again", index + 1)]
    Missing {
        /// Number of the shard, from 0.
        index: usize,
    },
    /// A catalog or address that makes no sense.
    #[error("{0}")]
    Invalid(String),
}

fn status_words(status: u16) -> &'static str {
    match status {
        401 | 403 => "the server does not give this file to everyone",
        404 | 410 => "the server does not have this file",
        416 => "the file on the server is shorter than it was",
        429 => "the server asks to wait before the next request",
        500.. => "the server has a problem of its own",
        _ => "the server gave an unexpected answer",
    }
}

impl Error {
    /// A stable, machine-readable name: `Error.code` in JavaScript.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Http { status: 404 | 410, .. } => "not_found",
            Error::Http { status: 416, .. } => "range",
            Error::Http { .. } => "http",
            Error::Network { .. } => "network",
            Error::Hash { .. } => "shard_hash",
            Error::Changed { .. } => "changed",
            Error::Quota { .. } => "quota",
            Error::Aborted => "aborted",
            Error::UnknownModel { .. } => "unknown_model",
            Error::Database(_) => "database",
            Error::Missing { .. } => "missing_shard",
            Error::Invalid(_) => "invalid_input",
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Error::Network { .. } | Error::Http { status: 429 | 500.., .. })
    }
}
