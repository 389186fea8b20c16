//! Deficit round robin over who has packets ready in a lane: first among tenants, then among a tenant's subjects, then among
//! a subject's clients. Whoever sends more gets no more than an equal share at each level.
//!
//! A party's turn lasts while its deficit is above zero; what it takes is charged to it, so that a large packet may overdraw
//! and is paid back in later rounds. A party without ready chains is gone, and its deficit with it.

use std::collections::VecDeque;

use bytestring::ByteString;
use hashbrown::HashMap;

use super::arena::{Arena, Id};
use super::chain::Chain;
use crate::store::Origin;

/// Who has chains ready in one lane, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Fair {
    parties: Arena<Party>,
    /// A party by its parent (`None`: a tenant) and its name.
    index: HashMap<(Option<PartyId>, ByteString), PartyId>,
    /// Tenants in turn.
    tenants: VecDeque<PartyId>,
    /// What each party may take in a round.
    quantum: i64,
}

pub(crate) type PartyId = Id<Party>;

/// A tenant, a subject or a client.
#[derive(Debug)]
pub(crate) struct Party {
    parent: Option<PartyId>,
    name: ByteString,
    deficit: i64,
    /// Of a tenant or a subject: those below it, in turn.
    members: VecDeque<PartyId>,
    /// Of a client: its ready chains, in turn.
    chains: VecDeque<Id<Chain>>,
}

impl Fair {
    pub(crate) fn new(quantum: i64) -> Self {
        Self {
            parties: Arena::default(),
            index: HashMap::new(),
            tenants: VecDeque::new(),
            quantum,
        }
    }

    /// A chain of this origin's client has packets ready. The id is for [`Fair::detach`].
    pub(crate) fn attach(&mut self, origin: &Origin, chain: Id<Chain>) -> PartyId {
        let client = match &origin.client {
            Some(client) => client.client_id.clone(),
            None => ByteString::new(),
        };
        let tenant = self.enter(None, &origin.principal.tenant);
        let subject = self.enter(Some(tenant), &origin.principal.subject);
        let client = self.enter(Some(subject), &client);
        self.parties[client].chains.push_back(chain);
        client
    }

    /// It has none any more, or is busy.
    pub(crate) fn detach(&mut self, client: PartyId, chain: Id<Chain>) {
        let chains = &mut self.parties[client].chains;
        // Nearly always at an end: the chain that was just served.
        if chains.front() == Some(&chain) {
            chains.pop_front();
        } else if let Some(at) = chains.iter().rposition(|&other| other == chain) {
            chains.remove(at);
        }
        self.leave_if_empty(client);
    }

    /// The chain whose turn it is, and how much it may take now.
    pub(crate) fn turn(&mut self) -> Option<(Id<Chain>, i64)> {
        let mut allowance = i64::MAX;
        let mut party: Option<PartyId> = None;
        loop {
            let members = match party {
                None => &self.tenants,
                Some(id) => &self.parties[id].members,
            };
            let Some(&first) = members.front() else { break };
            if self.parties[first].deficit <= 0 {
                members_of(&mut self.tenants, &mut self.parties, party).rotate_left(1);
                self.parties[first].deficit += self.quantum;
                continue;
            }
            allowance = allowance.min(self.parties[first].deficit);
            party = Some(first);
        }
        let chain = self.parties[party?].chains.front()?;
        Some((*chain, allowance))
    }

    /// The chain whose turn it was took this much: its client, subject and tenant pay, and its client's next chain is next.
    pub(crate) fn charge(&mut self, client: PartyId, cost: i64) {
        let mut party = Some(client);
        while let Some(id) = party {
            self.parties[id].deficit -= cost;
            party = self.parties[id].parent;
        }
        let chains = &mut self.parties[client].chains;
        if chains.len() > 1 {
            chains.rotate_left(1);
        }
    }

    fn enter(&mut self, parent: Option<PartyId>, name: &ByteString) -> PartyId {
        let key = (parent, name.clone());
        if let Some(&party) = self.index.get(&key) {
            return party;
        }
        let party = self.parties.insert(Party {
            parent,
            name: name.clone(),
            deficit: 0,
            members: VecDeque::new(),
            chains: VecDeque::new(),
        });
        members_of(&mut self.tenants, &mut self.parties, parent).push_back(party);
        self.index.insert(key, party);
        party
    }

    fn leave_if_empty(&mut self, party: PartyId) {
        let empty = self.parties[party].members.is_empty() && self.parties[party].chains.is_empty();
        if !empty {
            return;
        }
        let Party { parent, name, .. } = self.parties.remove(party);
        self.index.remove(&(parent, name));
        let members = members_of(&mut self.tenants, &mut self.parties, parent);
        if let Some(at) = members.iter().position(|&other| other == party) {
            members.remove(at);
        }
        if let Some(parent) = parent {
            self.leave_if_empty(parent);
        }
    }
}

fn members_of<'a>(
    tenants: &'a mut VecDeque<PartyId>,
    parties: &'a mut Arena<Party>,
    party: Option<PartyId>,
) -> &'a mut VecDeque<PartyId> {
    match party {
        None => tenants,
        Some(id) => &mut parties[id].members,
    }
}
