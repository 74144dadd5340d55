//! One error type for everything the engine can refuse, each with a stable code for JavaScript.

/// What went wrong, and what to do about it where that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first four bytes are not `GGUF`.
    #[error("this is not a GGUF file: it begins with {found:02x?} where \"GGUF\" (47 47 55 46) was expected")]
    NotGguf {
        /// The bytes found instead.
        found: [u8; 4],
    },
    /// A GGUF version other than 2 and 3, or a big-endian file.
    #[error("GGUF version {version} is not supported; versions 2 and 3 are (little-endian)")]
    UnsupportedVersion {
        /// The version field as read.
        version: u32,
    },
    /// The input ended early.
    #[error(
        "the file ends at byte {have} but {what} needs {need} bytes: the download or copy was cut off, fetch it again"
    )]
    Truncated {
        /// What was being read.
        what: String,
        /// Bytes that arrived.
        have: u64,
        /// Bytes needed at least.
        need: u64,
    },
    /// A header field that no real file has, such as 2^60 tensors.
    #[error("the header is damaged at byte {offset}: {what}")]
    Header {
        /// Position in the file.
        offset: u64,
        /// What is impossible about it.
        what: String,
    },
    /// A text that is no JSON, or not of the kind that was expected.
    #[error("this is not the JSON that was expected: {what}; the file is damaged or another one")]
    Json {
        /// What is wrong with it, and where.
        what: String,
    },
    /// A tensor type we have no decoder for.
    #[error(
        "tensor {tensor} has the type {found}, which is not supported; supported are {}",
        crate::quant::Format::names()
    )]
    UnsupportedFormat {
        /// Name of the tensor.
        tensor: String,
        /// Number or name of the type.
        found: String,
    },
    /// A model family without a `Program`.
    #[error("the architecture \"{found}\" is not supported; supported are {}", crate::models::Architecture::names())]
    UnsupportedArchitecture {
        /// `general.architecture` of the file.
        found: String,
    },
    /// A metadata key is missing or unusable.
    #[error("metadata {key}: {what}")]
    Metadata {
        /// The key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// A tensor the architecture needs is not in the file.
    #[error("tensor {tensor} is missing; this file is not a complete {architecture} model")]
    MissingTensor {
        /// Name of the tensor.
        tensor: String,
        /// The architecture that needs it.
        architecture: String,
    },
    /// A tensor has another shape than the metadata promises. Shapes are `[out, in]`.
    #[error("tensor {tensor} has the shape {found:?} where {expected:?} was expected")]
    Shape {
        /// Name of the tensor.
        tensor: String,
        /// The shape that metadata asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// Something about one of several files.
    #[error("{file}: {error}")]
    In {
        /// Name of the file.
        file: String,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// The files do not make one model.
    #[error("{0}")]
    Files(String),
    /// The tokenizer cannot be built, or refused a text.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template failed.
    #[error("chat template: {0}")]
    Template(String),
    /// Prompt and context do not fit.
    #[error("the prompt has {prompt} tokens but the context holds {context}: shorten it or start a new chat")]
    PromptTooLong {
        /// Tokens in the prompt.
        prompt: usize,
        /// Tokens the context holds.
        context: usize,
    },
    /// There is nothing to continue.
    #[error("the prompt is empty: there is nothing to answer")]
    EmptyPrompt,
    /// A request that makes no sense, such as a token outside the vocabulary.
    #[error("{0}")]
    InvalidInput(String),
    /// A grammar that cannot be used: not well-formed, too much work, or without any answer.
    #[error("the grammar cannot be used: {0}")]
    Grammar(String),
    /// A [constraint](crate::constraint) and the logit biases leave no token to choose.
    #[error("the answer cannot go on: neither the grammar nor the biases allow any token here")]
    NothingAllowed,
    /// These bytes are no saved conversation.
    #[error("this is not a saved conversation: it does not begin with \"HEARTHSV\"")]
    NotASession,
    /// Saved by a program that writes it in another way.
    #[error("the saved conversation has the version {version}, version 1 is supported: begin a new one")]
    SessionVersion {
        /// The version as read.
        version: u32,
    },
    /// A saved conversation that was cut off.
    #[error("the saved conversation ends at byte {have} but needs {need}: it was not saved or copied to its end")]
    SessionTruncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes needed at least.
        need: u64,
    },
    /// A saved conversation that is not as it was saved.
    #[error("the saved conversation is damaged: {what}")]
    SessionDamaged {
        /// How that shows.
        what: String,
    },
    /// A conversation with another model.
    #[error("the conversation was saved with another model: load the file that it was saved with")]
    OtherModel,
    /// Memory was refused.
    #[error("out of memory: {what} needs {bytes} more bytes; close other tabs or choose a smaller model")]
    OutOfMemory {
        /// What needed it.
        what: String,
        /// How much.
        bytes: usize,
    },
    /// The graphics adapter is missing, refused something, or failed.
    #[error("GPU: {0}")]
    Gpu(String),
}

/// Shorthand used throughout the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The same, said of a file.
    pub fn of(self, file: &str) -> Error {
        match self {
            // It is said already.
            Error::In { .. } => self,
            error if file.is_empty() => error,
            error => Error::In { file: file.into(), error: Box::new(error) },
        }
    }

    /// A stable, machine-readable name: `Error.code` in JavaScript.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotGguf { .. } => "not_gguf",
            Error::UnsupportedVersion { .. } => "unsupported_version",
            Error::Truncated { .. } => "truncated",
            Error::Header { .. } => "bad_header",
            Error::Json { .. } => "bad_json",
            Error::UnsupportedFormat { .. } => "unsupported_format",
            Error::UnsupportedArchitecture { .. } => "unsupported_architecture",
            Error::Metadata { .. } => "bad_metadata",
            Error::MissingTensor { .. } => "missing_tensor",
            Error::Shape { .. } => "bad_shape",
            Error::In { error, .. } => error.code(),
            Error::Files(_) => "bad_files",
            Error::Tokenizer(_) => "tokenizer",
            Error::Template(_) => "chat_template",
            Error::PromptTooLong { .. } => "prompt_too_long",
            Error::EmptyPrompt => "empty_prompt",
            Error::InvalidInput(_) => "invalid_input",
            Error::Grammar(_) => "bad_grammar",
            Error::NothingAllowed => "nothing_allowed",
            Error::NotASession => "not_a_session",
            Error::SessionVersion { .. } => "session_version",
            Error::SessionTruncated { .. } => "session_truncated",
            Error::SessionDamaged { .. } => "session_damaged",
            Error::OtherModel => "other_model",
            Error::OutOfMemory { .. } => "out_of_memory",
            Error::Gpu(_) => "gpu",
        }
    }
}
