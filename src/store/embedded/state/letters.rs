//! Dead letters: rows on disk, and of each its number in memory.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::State;
use crate::store::coding::Reader;
use crate::store::embedded::rows::{Key, LetterRow, Space};
use crate::store::judge::{Burial, Known};
use crate::store::{DeadLetter, Error, LetterCounts, LetterId, LetterState, TakenId};

/// Rows that are read at once.
const TOGETHER: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Those whose packets are finished, each with what it counts for.
    kept: BTreeMap<u64, u64>,
    /// Of all of those.
    bytes: u64,
    held: HashMap<TakenId, u64>,
}

impl Letters {
    fn insert(&mut self, number: u64, row: &LetterRow) {
        let letter = &row.letter;
        match letter.state {
            LetterState::Held => drop(self.held.insert(letter.taken, number)),
            LetterState::Final => {
                self.bytes += row.weight();
                self.kept.insert(number, row.weight());
            }
        }
    }
}

impl State {
    pub(super) fn load_letters(&mut self) -> Result<(), Error> {
        self.for_each_row(Space::Dead, TOGETHER, |state, key, row| {
            let number = key.last_number();
            let row = LetterRow::read(number, &mut Reader(row));
            state.letters.insert(number, &row);
            if row.letter.state == LetterState::Held {
                state.holds_run(row.letter.taken.run);
            }
            Ok(())
        })?;
        self.tell_letters();
        Ok(())
    }

    pub(super) fn bury_packet(&mut self, burial: Burial) {
        let number = self.next_number();
        let (row, packet) = LetterRow::of(burial.letter(LetterId(number)));
        self.put(Key::number(Space::Dead, number), |out| row.write(out));
        self.put(Key::number(Space::DeadPacket, number), |out| {
            out.0.extend_from_slice(&packet);
        });
        self.letters.insert(number, &row);
        let LetterRow { letter, .. } = &row;
        if letter.state == LetterState::Held {
            self.holds_run(letter.taken.run);
            self.look_at_run(letter.taken.run);
        }
        self.trim_letters();
    }

    pub(super) fn holds(&self, taken: TakenId) -> bool {
        self.letters.held.contains_key(&taken)
    }

    pub(super) fn release_packet(&mut self, taken: TakenId) {
        if let Some(number) = self.letters.held.remove(&taken) {
            self.delete_letter(number);
        }
    }

    pub(super) fn discard_letter(&mut self, letter: LetterId) {
        if let Some(weight) = self.letters.kept.remove(&letter.0) {
            self.letters.bytes -= weight;
            self.delete_letter(letter.0);
        }
    }

    pub(super) fn known_letter(&self, letter: LetterId) -> Known {
        if self.letters.kept.contains_key(&letter.0) {
            return Known::New;
        }
        match self.runs.sent_anew(letter) {
            Some((taken, fingerprint)) => Known::Open(fingerprint, taken),
            None => Known::Forgotten,
        }
    }

    /// The oldest go, but for those that are held.
    fn trim_letters(&mut self) {
        let mut dropped = 0;
        while self.letters.kept.len() > self.keep.letters
            || self.letters.bytes > self.keep.letter_bytes
        {
            let Some((&oldest, _)) = self.letters.kept.first_key_value() else {
                break;
            };
            self.discard_letter(LetterId(oldest));
            dropped += 1;
        }
        if dropped > 0 {
            self.shared.letters.lock().dropped += dropped;
            DeadLetter::tell_dropped(dropped);
        }
    }

    fn delete_letter(&mut self, number: u64) {
        self.delete(Key::number(Space::Dead, number));
        self.delete(Key::number(Space::DeadPacket, number));
    }

    /// To whoever asks how many there are.
    pub(super) fn tell_letters(&self) {
        let mut counts = self.shared.letters.lock();
        *counts = LetterCounts {
            kept: self.letters.kept.len() as u64,
            held: self.letters.held.len() as u64,
            dropped: counts.dropped,
            newest: LetterId(self.header.number),
        };
    }
}
