//! Dead letters: listed, tried once more, discarded.

use prost::Message as _;
use prost_types::Timestamp;

use super::{Admin, convert};
use crate::broker::{DeadLetter, LETTERS_AT_ONCE, Letters};
use crate::rpc::Refusal;
use crate::store::{Cause, Error, LetterId, LetterState, PageOf, ScanLimit};
use crate::types::limits;
use crate::wire::proto;

/// So many are told with the reason why nothing was done about them.
const REASONS: usize = 100;

/// What is done about dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Do {
    Retry,
    Discard,
}

/// What was done about how many.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) done: u64,
    pub(super) left: u64,
    /// Of those that were left: the first ones.
    pub(super) reasons: Vec<proto::LetterLeft>,
}

impl Admin {
    pub(super) async fn listed(
        &self,
        asked: proto::DeadLettersRequest,
    ) -> Result<proto::DeadLettersResponse, Refusal> {
        let handler = self.handler(&asked.handler)?;
        let limit = convert::page_size(asked.page_size)?;
        let after = LetterId(convert::number(&asked.page_token)?);
        let most = read_for(limit, asked.content);
        let page = self.broker.dead_letters(handler.as_ref(), after, most);
        let PageOf { items, more } = page.await.map_err(|error| unread(&error))?;
        let letters = items.iter().map(|item| letter(item, asked.content));
        let (letters, cut) = convert::page(letters, limit);
        let last = letters.last().filter(|_| cut || more);
        Ok(proto::DeadLettersResponse {
            next_page_token: last.map_or_else(String::new, |last| last.id.to_string()),
            letters,
        })
    }

    pub(super) async fn decided(
        &self,
        what: Do,
        ids: Vec<u64>,
        handler: &str,
    ) -> Result<Decided, Refusal> {
        let mut which = self.meant(ids, handler)?;
        let mut all = Decided::default();
        loop {
            let decided = match what {
                Do::Retry => self.broker.retry_dead_letters(&which).await,
                Do::Discard => self.broker.discard_dead_letters(&which).await,
            };
            let decided = decided.map_err(|error| unread(&error))?;
            all.done += decided.done as u64;
            all.left += decided.failed.len() as u64;
            let room = REASONS - all.reasons.len();
            let reasons = decided.failed.into_iter().take(room);
            all.reasons.extend(reasons.map(|(id, message)| {
                let id = id.0;
                proto::LetterLeft { id, message }
            }));
            match (&mut which, decided.next) {
                (Letters::Between { after, .. }, Some(next)) => *after = next,
                _ => break,
            }
        }
        let (done, left) = (all.done, all.left);
        tracing::info!(?what, done, left, "a person decided about dead letters");
        Ok(all)
    }

    fn meant(&self, ids: Vec<u64>, handler: &str) -> Result<Letters, Refusal> {
        let problem = match (ids.len(), handler) {
            (0, "") => "neither ids nor a handler is there: name what is meant",
            (0, _) => {
                return Ok(Letters::Between {
                    handler: self.handler(handler)?,
                    after: LetterId(0),
                    through: self.broker.letter_counts().newest,
                });
            }
            (1..=LETTERS_AT_ONCE, "") => {
                return Ok(Letters::Ids(ids.into_iter().map(LetterId).collect()));
            }
            (_, "") => "there are more than 1000 ids: name them in several calls",
            _ => "both ids and a handler are there: name one of them",
        };
        Err(Refusal::Invalid(problem.into()))
    }
}

/// What is read for a page of so many: with their content, about as much as is told. What is told without it is a small part of
/// what has to be read for it: then only the broker's own bound holds.
fn read_for(letters: usize, content: bool) -> ScanLimit {
    ScanLimit {
        items: letters,
        bytes: match content {
            true => limits::PAGE_BYTES,
            false => usize::MAX,
        },
    }
}

fn letter(dead: &DeadLetter, content: bool) -> proto::DeadLetter {
    let (letter, death) = (&dead.letter, &dead.letter.death);
    // It could be read when it was taken, and is empty where damage took it: then its letter knows whose it was.
    let mut packet = proto::Packet::decode(death.packet.clone()).unwrap_or_default();
    packet.handler = letter.origin.handler.as_str().to_owned();
    packet.req_id = letter.req_id.to_string();
    if !content {
        packet.data.clear();
        packet.text.clear();
        packet.headers.clear();
        packet.files.clear();
    }
    let origin = &letter.origin;
    let client = origin.client.as_ref();
    let cause = match death.cause {
        Cause::Poison => proto::DeathCause::Poison,
        Cause::Spent => proto::DeathCause::Spent,
    };
    proto::DeadLetter {
        id: letter.id.0,
        packet: Some(packet),
        client_id: client.map_or_else(String::new, |client| client.client_id.to_string()),
        subject: origin.principal.subject.to_string(),
        tenant: origin.principal.tenant.to_string(),
        bytes: death.packet.len() as u64,
        attempts: death.attempts,
        cause: cause.into(),
        message: death.message.to_string(),
        taken_at: Some(Timestamp::from(letter.taken_at)),
        given_up_at: Some(Timestamp::from(letter.given_up_at)),
        held: letter.state == LetterState::Held,
    }
}

fn unread(error: &Error) -> Refusal {
    Refusal::Unavailable(format!("the store does not say: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_for_a_page_is_about_what_it_tells() {
        let with = read_for(100, true);
        assert_eq!((with.items, with.bytes), (100, limits::PAGE_BYTES));
        assert!(read_for(100, false).bytes > with.bytes);
    }
}
