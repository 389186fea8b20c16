//! Plain data: what packets, answers, records and messages are inside the gateway. Converted once at the edge (`wire`), and
//! valid from then on.

mod answer;
mod content;
mod driving;
mod identity;
pub mod limits;
mod message;
mod packet;
mod record;
mod token;
mod topic;

pub use answer::{Answer, Body, Outcome, Reason};
pub use content::{Content, Form, beginning};
pub use driving::{BatchLimits, OnDead, Ordering, Retry};
pub use identity::{ClientKey, HandlerName, Principal};
pub use message::{Message, MessageBody, MessageId};
pub use packet::{Action, Carried, More, Packet, PacketFile, Source, TRACEPARENT};
pub use record::Record;
pub use token::Token;
pub use topic::{MAX_TOKENS, Pattern, Topic, TopicError, encode_token, record_key, record_prefix};
