//! Words for a handler's answers. They only fill in the fields of the generated messages, which may as well be done by hand.

use crate::proto::{HandleItem, HandleResult, Outcome, Reason};

impl HandleItem {
    /// Applied, now or on an earlier attempt.
    pub fn ok(&self) -> HandleResult {
        self.result(Outcome::Ok)
    }

    /// Refused for good. `message` is for a person: what is wrong, and what would be right.
    pub fn rejected(&self, reason: Reason, message: impl Into<String>) -> HandleResult {
        HandleResult {
            reason: reason.into(),
            message: message.into(),
            ..self.result(Outcome::Rejected)
        }
    }

    /// Not applied: to be sent again.
    pub fn retry(&self) -> HandleResult {
        self.result(Outcome::Retry)
    }

    fn result(&self, outcome: Outcome) -> HandleResult {
        HandleResult {
            id: self.id.clone(),
            outcome: outcome.into(),
            ..HandleResult::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_under_the_items_id() {
        let item = HandleItem {
            id: "7".into(),
            ..HandleItem::default()
        };
        let rejected = item.rejected(Reason::InvalidData, "a number would be right");
        for (result, outcome) in [
            (item.ok(), Outcome::Ok),
            (rejected.clone(), Outcome::Rejected),
            (item.retry(), Outcome::Retry),
        ] {
            assert_eq!((&*result.id, result.outcome()), ("7", outcome));
        }
        assert_eq!(rejected.reason(), Reason::InvalidData);
        assert_eq!(rejected.message, "a number would be right");
    }
}
