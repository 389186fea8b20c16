//! Packets of the model: what each is like, and what its content says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;

use super::plan::{Manner, Target};
use crate::types::{Action, Answer, Content, Packet, Reason};
use crate::wire::encoded::encoded;

/// Which packet: its queue, and where it stands in it, from 0.
pub(super) type Name = (usize, usize);

/// What a packet is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fine,
    /// Refused for good: by the edge, as an action that there is not, or by the handler in the packet's turn.
    Refused,
    /// It may be too late for it.
    Brief,
    /// Its service fails with it.
    Poison,
    /// Its service crashes with it.
    Crash,
    /// Its service asks for another try, each time.
    Stubborn,
}

impl Kind {
    /// What a service knows it by.
    const MARKS: [(Self, char); 3] = [
        (Self::Poison, 'p'),
        (Self::Crash, 'c'),
        (Self::Stubborn, 's'),
    ];

    pub(super) fn is_given_up(self) -> bool {
        matches!(self, Self::Poison | Self::Crash | Self::Stubborn)
    }
}

/// What nobody may apply: it has the place of another packet.
const IMPOSTOR: char = 'x';

/// What the content says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) impostor: bool,
}

pub(super) fn read_label(content: &[u8]) -> Option<Label> {
    let text = std::str::from_utf8(content).ok()?;
    let mark = text.chars().next().filter(char::is_ascii_alphabetic);
    let rest = mark.map_or(text, |_| &text[1..]);
    let (queue, index) = rest.split_once(':')?;
    let kind = Kind::MARKS.iter().find(|(_, known)| Some(*known) == mark);
    Some(Label {
        name: (queue.parse().ok()?, index.parse().ok()?),
        kind: kind.map_or(Kind::Fine, |(kind, _)| *kind),
        impostor: mark == Some(IMPOSTOR),
    })
}

/// How many of a thousand packets are something else than fine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Odds {
    pub(super) refused: u32,
    pub(super) brief: u32,
    pub(super) poison: u32,
    pub(super) crash: u32,
    pub(super) stubborn: u32,
}

impl Odds {
    pub(super) const NONE: Self = Self {
        refused: 0,
        brief: 0,
        poison: 0,
        crash: 0,
        stubborn: 0,
    };

    fn draw(self, target: Target, manner: Manner, rng: &mut StdRng) -> Kind {
        let drawn = rng.random_range(0..1000);
        let mut reached = 0;
        let mut is = |odds: u32| {
            reached += odds;
            drawn < reached
        };
        if is(self.refused) {
            return Kind::Refused;
        }
        // Where nothing makes a repeat known, it is another packet.
        if is(self.brief) && !manner.is_flood() {
            return Kind::Brief;
        }
        let is_given_up = [
            (is(self.poison), Kind::Poison),
            (is(self.crash), Kind::Crash),
            (is(self.stubborn), Kind::Stubborn),
        ];
        let found = is_given_up.into_iter().find(|(is, _)| *is);
        found
            .filter(|_| target.takes_first())
            .map_or(Kind::Fine, |(_, kind)| kind)
    }
}

/// Its content says whose it is, so that whoever finds it applied knows.
pub(super) fn packet(
    name: Name,
    target: Target,
    manner: Manner,
    odds: Odds,
    rng: &mut StdRng,
) -> (Arc<Packet>, Kind) {
    let (queue, index) = name;
    let kind = odds.draw(target, manner, rng);
    let mark = Kind::MARKS.iter().find(|(known, _)| *known == kind);
    let mark = mark.map_or(String::new(), |(_, mark)| mark.to_string());
    let key = match target {
        Target::Topics => format!("news.{queue}"),
        Target::Orders | Target::Jobs => format!("k{}", rng.random_range(0..3)),
        // An empty one is no order.
        _ if rng.random_ratio(1, 10) => String::new(),
        _ => format!("k{}", rng.random_range(0..8)),
    };
    let mut packet = Packet {
        // The same in every client: nothing may go by it alone.
        req_id: match manner {
            Manner::Placed(_) => format!("r{index}").into(),
            Manner::Named => format!("{}{index}", target.name()).into(),
            Manner::Alone => format!("{queue}.{index}").into(),
            Manner::Flood { .. } => "".into(),
        },
        handler: target.name().into(),
        seq: if manner.is_placed() {
            index as u64 + 1
        } else {
            0
        },
        action: match target {
            Target::Topics => Action::Create,
            Target::Orders => Action::Put,
            _ => [Action::Create, Action::Put][rng.random_range(0..2)],
        },
        key: key.into(),
        content: Content::text(format!("{mark}{queue}:{index}")),
        if_version: None,
        ttl: None,
        unordered: match manner {
            Manner::Placed(_) => false,
            Manner::Flood { .. } => true,
            Manner::Named | Manner::Alone => rng.random_ratio(1, 15),
        },
        more: None,
        fingerprint: (queue as u64) << 32 | index as u64,
        size: rng.random_range(20..200),
        raw: Bytes::new(),
        carried: None,
        refusal: None,
    };
    match kind {
        Kind::Refused => refuse(&mut packet, target, rng),
        Kind::Brief => packet.ttl = Some(Duration::from_millis(rng.random_range(0..30))),
        _ => {}
    }
    if target.takes_first() {
        packet.raw = encoded(&packet);
    }
    (Arc::new(packet), kind)
}

fn refuse(packet: &mut Packet, target: Target, rng: &mut StdRng) {
    match (rng.random_range(0..3), target) {
        (0, _) => packet.refusal = Some(Box::new(Answer::rejected(Reason::InvalidPacket, "wrong"))),
        (1, _) => packet.action = Action::Call,
        (_, Target::Topics) => packet.key = "records.orders.k".into(),
        _ => packet.if_version = Some(1_000_000),
    }
}

/// Another packet in the same place.
pub(super) fn impostor(packet: &Packet, name: Name) -> Arc<Packet> {
    let (queue, index) = name;
    let mut other = Packet {
        content: Content::text(format!("{IMPOSTOR}{queue}:{index}")),
        fingerprint: !packet.fingerprint,
        refusal: None,
        ..packet.clone()
    };
    other.raw = encoded(&other);
    Arc::new(other)
}

/// A READ of what a client may have written.
pub(super) fn read(target: Target, index: u64) -> Arc<Packet> {
    Arc::new(Packet {
        req_id: format!("read{index}").into(),
        handler: target.name().into(),
        seq: 0,
        action: Action::Read,
        key: "k1".into(),
        content: Content::default(),
        if_version: None,
        ttl: None,
        unordered: false,
        more: None,
        fingerprint: 0,
        size: 20,
        raw: Bytes::new(),
        carried: None,
        refusal: None,
    })
}

/// One that a handler applies.
pub(super) fn sample() -> Packet {
    let rng = &mut rand::SeedableRng::seed_from_u64(0);
    let (packet, _) = packet((0, 0), Target::Jobs, Manner::Placed(1), Odds::NONE, rng);
    (*packet).clone()
}

#[test]
fn a_label_says_what_was_written() {
    let label = |name, kind, impostor| {
        Some(Label {
            name,
            kind,
            impostor,
        })
    };
    assert_eq!(read_label(b"3:14"), label((3, 14), Kind::Fine, false));
    assert_eq!(read_label(b"p3:0"), label((3, 0), Kind::Poison, false));
    assert_eq!(read_label(b"x0:1"), label((0, 1), Kind::Fine, true));
    assert_eq!(read_label(b"nothing"), None);
}
