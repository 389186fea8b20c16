//! Why a call is refused as a whole, and the status that says so.

use tonic::Status;

use crate::broker::Stopping;
use crate::events::CursorError;

/// Why a call is refused as a whole. The text is for a person: what, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It would be refused again and again.
    #[error("{0}")]
    Invalid(String),
    /// It is over a limit of the contract.
    #[error("{0}")]
    TooMuch(String),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// What it names is not there.
    #[error("{0}")]
    Missing(String),
    /// It cannot be done as this gateway is now.
    #[error("{0}")]
    Unfit(String),
    /// What was told stands, and cannot be read now; or what was asked for could not be done.
    #[error("{0}")]
    Unavailable(String),
    /// The gateway is stopping: another try, elsewhere or later, is right.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

impl Refusal {
    /// For logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::TooMuch(_) => "limit",
            Self::Forbidden(_) => "forbidden",
            Self::Missing(_) => "missing",
            Self::Unfit(_) => "unfit",
            Self::Unavailable(_) => "unavailable",
            Self::Stopping(_) => "stopping",
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Invalid(_) => Self::invalid_argument(text),
            Refusal::TooMuch(_) => Self::resource_exhausted(text),
            Refusal::Forbidden(_) => Self::permission_denied(text),
            Refusal::Missing(_) => Self::not_found(text),
            Refusal::Unfit(_) => Self::failed_precondition(text),
            Refusal::Unavailable(_) | Refusal::Stopping(_) => Self::unavailable(text),
        }
    }
}

impl From<CursorError> for Refusal {
    fn from(error: CursorError) -> Self {
        Self::Invalid(format!("cursor: {error}"))
    }
}
