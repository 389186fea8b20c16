//! An action as it is typed.

use clap::ValueEnum;
use tidegate_client::proto;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ActionName {
    Create,
    Read,
    Update,
    Delete,
    Put,
    List,
    Call,
}

impl ActionName {
    /// As the contract has it.
    pub(super) fn number(self) -> i32 {
        let action = match self {
            Self::Create => proto::Action::Create,
            Self::Read => proto::Action::Read,
            Self::Update => proto::Action::Update,
            Self::Delete => proto::Action::Delete,
            Self::Put => proto::Action::Put,
            Self::List => proto::Action::List,
            Self::Call => proto::Action::Call,
        };
        action.into()
    }
}
