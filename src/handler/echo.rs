//! Answers with its content: for trying out and measuring.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::{Batch, CallError, Handled, Handler, Item};
use crate::types::{Action, Answer};

/// The `echo` handler.
#[derive(Debug)]
pub struct Echo;

impl Handler for Echo {
    fn handle(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Handled>, CallError>> {
        ready(Ok(batch.items.into_iter().map(echo).collect())).boxed()
    }

    fn actions(&self) -> &[Action] {
        &Action::ALL
    }
}

fn echo(item: Item) -> Handled {
    let answer = Answer {
        content: item.packet.content.clone(),
        ..Answer::ok()
    };
    Handled::new(item.id, answer)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::handler::ItemId;
    use crate::handler::testing::{origin, packet};
    use crate::types::{Content, HandlerName, Outcome, Packet};

    fn echoed(packets: Vec<Packet>) -> Vec<Handled> {
        let item = |(at, packet)| Item {
            id: ItemId(at as u128 + 7),
            chain: 0,
            origin: Arc::new(origin("", "ann", "echo")),
            packet: Arc::new(packet),
            remaining: None,
            attempt: 1,
            received_at: std::time::UNIX_EPOCH,
            fence: None,
        };
        let batch = Batch {
            handler: HandlerName::new("echo").unwrap(),
            action: None,
            items: packets.into_iter().enumerate().map(item).collect(),
            trace: None,
        };
        Echo.handle(batch).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn every_action_gets_its_content_under_its_own_id() {
        let made = |action| Packet {
            content: Content::text(format!("{action:?}")),
            ..packet(action, "")
        };
        let packets: Vec<_> = Echo.actions().iter().copied().map(made).collect();
        let answers = echoed(packets.clone());
        assert_eq!(answers.len(), 7);
        for (at, (handled, packet)) in answers.iter().zip(&packets).enumerate() {
            assert_eq!(handled.id, ItemId(at as u128 + 7));
            assert_eq!(handled.answer.outcome, Outcome::Ok);
            assert_eq!(handled.answer.content, packet.content);
        }
    }
}
