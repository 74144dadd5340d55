//! What can go wrong in the lab, and what to do about it.

/// Result of the lab.
pub type Result<T> = std::result::Result<T, Error>;

/// Each says what happened and, where it is known, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine's.
    #[error(transparent)]
    Engine(#[from] hearth_engine::Error),
    /// A text is too short for what is to be done with it.
    #[error("{what} has {tokens} tokens, and {needed} are needed: give more text")]
    TooShort {
        /// Which text.
        what: &'static str,
        /// How many it has.
        tokens: usize,
        /// How many it needs.
        needed: usize,
    },
    /// Calibration and test text share passages.
    #[error(
        "calibration and test text share {shared} of {passages} passages, so the test would flatter: give different texts"
    )]
    SameText {
        /// Passages of the test text that the other has, too.
        shared: usize,
        /// Passages of the test text.
        passages: usize,
    },
    /// A recipe that cannot be followed.
    #[error("step {step} ({method}): {what}")]
    Step {
        /// Which step, from 1.
        step: usize,
        /// Its method.
        method: String,
        /// Why not, and what else.
        what: String,
    },
    /// A recipe that cannot be read.
    #[error("the recipe cannot be read: {0}")]
    Recipe(String),
    /// Somebody asked to stop.
    #[error("cancelled: the base model is as it was")]
    Cancelled,
    /// A step does not fit the model.
    #[error("{0}")]
    Unfit(String),
}

impl Error {
    /// A stable, machine-readable name: `Error.code` in JavaScript.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Engine(error) => error.code(),
            Error::Cancelled => "aborted",
            _ => "invalid_input",
        }
    }
}
