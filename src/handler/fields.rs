//! Fields that mean nothing to an action. Who set one expects something that will not happen, so the packet is refused and
//! the field named.

use crate::types::{Action, Answer, Form, Packet, Reason};

/// For the handlers that are built in. What CALL makes of its fields is the handler's to say.
pub(super) fn check(packet: &Packet) -> Result<(), Answer> {
    let found = match packet.action {
        Action::Read => of_changes(packet).or_else(|| of_pages(packet)),
        Action::List => of_changes(packet),
        Action::Create | Action::Update | Action::Put | Action::Delete => of_pages(packet),
        Action::Call => None,
    };
    match found {
        None => Ok(()),
        Some(field) => {
            let action = packet.action.name();
            let message = format!("{field} means nothing to {action}: leave it out");
            Err(Answer::rejected(Reason::InvalidPacket, message))
        }
    }
}

fn of_changes(packet: &Packet) -> Option<&'static str> {
    if !packet.content.is_empty() {
        return Some(match packet.content.form {
            Form::Bytes => "data",
            Form::Text => "text",
        });
    }
    if packet.if_version.is_some() {
        return Some("if_version");
    }
    let more = packet.more.as_ref()?;
    (!more.files.is_empty()).then_some("files")
}

fn of_pages(packet: &Packet) -> Option<&'static str> {
    if packet.page_size() != 0 {
        return Some("page_size");
    }
    (!packet.page_token().is_empty()).then_some("page_token")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::testing::packet;
    use crate::types::{Content, More};

    #[test]
    fn a_field_that_means_nothing_is_named() {
        let text = |action| Packet {
            content: Content {
                form: Form::Text,
                items: ["x".into()].into_iter().collect(),
            },
            ..packet(action, "k")
        };
        let version = |action| Packet {
            if_version: Some(1),
            ..packet(action, "k")
        };
        let page = |action, page_size, page_token: &str| Packet {
            more: Some(Box::new(More {
                page_size,
                page_token: page_token.into(),
                ..More::default()
            })),
            ..packet(action, "k")
        };
        for (packet, field) in [
            (text(Action::Read), "text"),
            (text(Action::List), "text"),
            (version(Action::Read), "if_version"),
            (version(Action::List), "if_version"),
            (page(Action::Read, 1, ""), "page_size"),
            (page(Action::Create, 1, ""), "page_size"),
            (page(Action::Update, 0, "t"), "page_token"),
            (page(Action::Put, 0, "t"), "page_token"),
            (page(Action::Delete, 1, "t"), "page_size"),
        ] {
            let refusal = check(&packet).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidPacket);
            let said = format!("{field} means nothing to {}", packet.action.name());
            assert!(refusal.message.starts_with(&said), "{}", refusal.message);
        }
        for packet in [
            text(Action::Put),
            version(Action::Delete),
            page(Action::List, 1, "t"),
            page(Action::Call, 1, "t"),
        ] {
            assert_eq!(check(&packet), Ok(()), "{packet:?}");
        }
    }
}
