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
        /// How long the server wants to be left alone.
        wait_ms: Option<u64>,
    },
    /// The server did not answer, or stopped in the middle.
    #[error("the server cannot be reached, or the connection broke ({url})")]
    Network {
        /// What was asked for.
        url: String,
    },
    /// A web page where a file should be.
    #[error("this is the address of a web page and not of a model's file ({url})")]
    Page {
        /// What was asked for.
        url: String,
    },
    /// The whole file, where a part was asked for.
    #[error("the server gives no parts of the file ({url})")]
    NoParts {
        /// What was asked for.
        url: String,
    },
    /// Another part than was asked for.
    #[error("the server gave another part of the file than was asked for ({url})")]
    OtherPart {
        /// What was asked for.
        url: String,
    },
    /// The bytes are not those the catalog promises, again and again.
    #[error("shard {} of {count} is damaged: it was fetched again and does not match its SHA-256 ({url})", index + 1)]
    Hash {
        /// Number of the chunk, from 0.
        index: usize,
        /// Chunks in all.
        count: usize,
        /// Where it came from.
        url: String,
    },
    /// All parts are here, and yet it is not the file.
    #[error(
        "the file does not match its SHA-256, {expected}: something on the way changed it, so it was removed; download it again, \
         over another network or from another address if you can ({url})"
    )]
    File {
        /// The hash that the server told.
        expected: String,
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
    /// The file on the server is another one of the same size.
    #[error("the file on the server was replaced while it was downloaded; load it again to get the new one ({url})")]
    Replaced {
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
    /// More would have to be fetched than was allowed.
    #[error("paused: the next {} MB are more than the data cap leaves; what has arrived is kept", need.div_ceil(1_000_000))]
    Cap {
        /// Bytes of the next request.
        need: u64,
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
    /// A chunk that should be stored is not.
    #[error("shard {} is not in storage; load the model again", index + 1)]
    Missing {
        /// Number of the chunk, from 0.
        index: usize,
    },
    /// What was stored is gone again.
    #[error("the browser's storage loses what is written to it: free disk space, or run the model without storing it")]
    Forgotten,
    /// A chunk has changed in storage and cannot be had again.
    #[error("shard {} was damaged in this browser's storage and cannot be fetched again: {cause}", index + 1)]
    Rotten {
        /// Number of the chunk, from 0.
        index: usize,
        /// Why not.
        cause: Box<Error>,
    },
    /// A file from a disk, which no server has.
    #[error("a part of this model is missing, and it came from a file: import that file again")]
    Imported,
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
            Error::Http { status: 404 | 410, .. } | Error::Page { .. } => "not_found",
            Error::Http { status: 416, .. } => "range",
            Error::Http { .. } | Error::NoParts { .. } | Error::OtherPart { .. } => "http",
            Error::Network { .. } => "network",
            Error::Hash { .. } => "shard_hash",
            Error::File { .. } => "file_hash",
            Error::Changed { .. } | Error::Replaced { .. } => "changed",
            Error::Quota { .. } => "quota",
            Error::Cap { .. } => "data_cap",
            Error::Aborted => "aborted",
            Error::UnknownModel { .. } => "unknown_model",
            Error::Database(_) => "database",
            Error::Missing { .. } => "missing_shard",
            Error::Forgotten => "forgotten",
            Error::Rotten { .. } => "rotten",
            Error::Imported => "imported",
            Error::Invalid(_) => "invalid_input",
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Error::Network { .. } | Error::NoParts { .. } | Error::OtherPart { .. } => true,
            Error::Http { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            _ => false,
        }
    }

    /// Whether it is a place's, so that another place may do better.
    pub(crate) fn is_of_a_place(&self) -> bool {
        let for_good =
            matches!(self, Error::Http { .. } | Error::Page { .. } | Error::Changed { .. } | Error::Replaced { .. });
        self.is_passing() || for_good
    }

    /// How long the server wants to be left alone.
    pub(crate) fn wait_ms(&self) -> Option<u64> {
        match self {
            Error::Http { wait_ms, .. } => *wait_ms,
            _ => None,
        }
    }
}
