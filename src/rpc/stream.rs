//! A session as the stream that tonic sends.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use tonic::Status;

use crate::events::Session;
use crate::layers::Slot;
use crate::wire::EncodedEvent;

/// What `Events` answers with.
pub(super) type EventStream = BoxStream<'static, Result<EncodedEvent, Status>>;

/// The slot is given back when the stream is dropped: at its end, or when the caller hangs up.
pub(super) fn stream(session: Session, slot: Option<Arc<Slot>>) -> EventStream {
    unfold((session, slot), |(mut session, slot)| async move {
        let event = session.next().await?;
        Some((Ok(EncodedEvent(event)), (session, slot)))
    })
    .boxed()
}
