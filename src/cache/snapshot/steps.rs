//! The steps of a snapshot, as a table of bytes.

use crate::cache::sealed::{seal, unseal};
use crate::cache::snapshot::Snapshot;
use crate::cache::snapshot::files::Digests;
use crate::cache::snapshot::step::{NewStep, Standing, Text};
use crate::plan::NeedKind;

/// Bytes of a number in the lists.
const NUMBER: usize = size_of::<u32>();

/// Bytes of a row before the places of its lists: how it stands, and where its text is.
const HEAD: usize = 33 + 32;

/// Bytes of a row of the table.
const ROW: usize = HEAD + 5 * NUMBER;

/// The steps of a snapshot. The table is read and written as it is: of the steps that
/// are not concerned by a change little more is touched than their bytes.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    rows: Vec<u8>,
    /// The lists of all rows: steps that come before and how, and places of files.
    numbers: Vec<u8>,
    /// What the files hold.
    pub(super) digests: Digests,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepRow<'a> {
    pub(super) standing: Standing,
    pub(super) text: Text,
    needs: &'a [u8],
    inputs: &'a [u8],
    directories: &'a [u8],
    outputs: &'a [u8],
}

impl Steps {
    /// The steps that belong to a snapshot; `None` if the bytes are none.
    #[must_use]
    pub fn read(mut bytes: Vec<u8>, snapshot: &Snapshot) -> Option<Self> {
        let length = unseal(&bytes)?.len();
        bytes.truncate(length);
        let rest = bytes.strip_prefix(&snapshot.head.build)?;
        let (run, rest) = rest.split_first_chunk()?;
        let (rows, rest) = rest.split_first_chunk()?;
        let (numbers, rest) = rest.split_first_chunk()?;
        let rows = usize::try_from(u64::from_le_bytes(*rows)).ok()?;
        let numbers = usize::try_from(u64::from_le_bytes(*numbers)).ok()?;
        let is_whole = rows.is_multiple_of(ROW) && rows.checked_add(numbers)? <= rest.len();
        if u64::from_le_bytes(*run) != snapshot.head.run || !is_whole {
            return None;
        }
        let start = bytes.len() - rest.len();
        let digests = Digests::read(bytes.split_off(start + rows + numbers))?;
        let numbers = bytes.split_off(start + rows);
        bytes.drain(..start);
        let steps = Self { rows: bytes, numbers, digests };
        (steps.rows().count() * ROW == rows).then_some(steps)
    }

    /// The bytes to store.
    pub(super) fn to_bytes(&self, build: &[u8; 32], run: u64) -> Vec<u8> {
        let size = self.rows.len() + self.numbers.len() + self.digests.bytes().len();
        let mut bytes = Vec::with_capacity(build.len() + size + 64);
        bytes.extend(build);
        bytes.extend(run.to_le_bytes());
        for part in [&self.rows, &self.numbers] {
            bytes.extend((part.len() as u64).to_le_bytes());
        }
        for part in [self.rows.as_slice(), &self.numbers, self.digests.bytes()] {
            bytes.extend_from_slice(part);
        }
        seal(bytes)
    }

    /// All rows with their places.
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = (u32, StepRow<'_>)> {
        let rows = self.rows.chunks_exact(ROW).enumerate();
        rows.filter_map(|(at, row)| Some((u32::try_from(at).ok()?, self.decode(row)?)))
    }

    pub(super) fn row(&self, at: u32) -> Option<StepRow<'_>> {
        let start = (at as usize).checked_mul(ROW)?;
        self.decode(self.rows.get(start..start + ROW)?)
    }

    fn decode(&self, row: &[u8]) -> Option<StepRow<'_>> {
        let (tag, rest) = row.split_first()?;
        let (digest, rest) = rest.split_first_chunk()?;
        let (text, mut rest) = rest.split_first_chunk()?;
        let mut word = || {
            let (word, behind) = rest.split_first_chunk()?;
            rest = behind;
            Some(u32::from_le_bytes(*word) as usize)
        };
        let mut numbers = self.numbers.get(word()?.checked_mul(NUMBER)?..)?;
        let mut list = || {
            let (list, behind) = numbers.split_at_checked(word()?.checked_mul(NUMBER)?)?;
            numbers = behind;
            Some(list)
        };
        Some(StepRow {
            standing: Standing::read(*tag, *digest)?,
            text: Text::read(text)?,
            needs: list()?,
            inputs: list()?,
            directories: list()?,
            outputs: list()?,
        })
    }

    pub(super) fn push(&mut self, step: &NewStep) {
        self.replace(u32::try_from(self.rows.len() / ROW).unwrap_or(u32::MAX), step);
    }

    /// Puts a step in the place of one, or behind all others. Where its lists do not fit
    /// into the place of those of that one, these stay until all is written anew.
    pub(super) fn replace(&mut self, at: u32, step: &NewStep) {
        let before = self.row(at).map(|row| row.lengths());
        let lists = step.lists();
        let start = match (before, self.start(at)) {
            (Some(before), Some(start)) if before == step.lengths() => {
                if let Some(places) = self.numbers.get_mut(start..start + lists.len()) {
                    places.copy_from_slice(&lists);
                }
                start
            }
            _ => {
                self.numbers.extend(&lists);
                self.numbers.len() - lists.len()
            }
        };
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let mut row = Vec::with_capacity(ROW);
        step.standing.write(&mut row);
        step.text.write(&mut row);
        for word in [start].into_iter().chain(step.lengths()) {
            row.extend(number(word / NUMBER).to_le_bytes());
        }
        let place = (at as usize).saturating_mul(ROW);
        match self.rows.get_mut(place..place.saturating_add(ROW)) {
            Some(place) => place.copy_from_slice(&row),
            None => self.rows.extend(row),
        }
    }

    /// Where the lists of a row begin.
    fn start(&self, at: u32) -> Option<usize> {
        let lists = (at as usize).checked_mul(ROW)? + HEAD;
        let start = self.rows.get(lists..)?.first_chunk()?;
        (u32::from_le_bytes(*start) as usize).checked_mul(NUMBER)
    }
}

impl NewStep {
    /// The lists as bytes.
    fn lists(&self) -> Vec<u8> {
        let kind = |kind: &NeedKind| match kind {
            NeedKind::Product => 0,
            NeedKind::Success => 1,
            NeedKind::End => 2,
        };
        let needs = self.needs.iter().flat_map(|(need, how)| [*need, kind(how)]);
        let places = [&self.inputs, &self.directories, &self.outputs].into_iter().flatten();
        needs.chain(places.copied()).flat_map(u32::to_le_bytes).collect()
    }

    /// How many bytes each takes.
    fn lengths(&self) -> [usize; 4] {
        let lists = [2 * self.needs.len(), self.inputs.len(), self.directories.len(), self.outputs.len()];
        lists.map(|length| length * NUMBER)
    }
}

impl<'a> StepRow<'a> {
    /// How many bytes each list takes.
    const fn lengths(&self) -> [usize; 4] {
        [self.needs.len(), self.inputs.len(), self.directories.len(), self.outputs.len()]
    }

    /// Steps that come before.
    pub(super) fn needs(&self) -> impl Iterator<Item = (u32, NeedKind)> + 'a {
        let kind = |kind| match kind {
            0 => NeedKind::Product,
            1 => NeedKind::Success,
            _ => NeedKind::End,
        };
        let mut numbers = numbers(self.needs);
        std::iter::from_fn(move || Some((numbers.next()?, kind(numbers.next()?))))
    }

    /// Directories in which all files may be its inputs.
    pub(super) fn directories(&self) -> impl Iterator<Item = u32> + 'a {
        numbers(self.directories)
    }

    /// Files, links, and directories that it made.
    pub(super) fn outputs(&self) -> impl Iterator<Item = u32> + 'a {
        numbers(self.outputs)
    }

    /// Files that it reads, and those that it made.
    pub(super) fn files(&self) -> impl Iterator<Item = u32> + 'a {
        numbers(self.inputs).chain(self.outputs())
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::snapshot::step::Turn;
    use crate::cache::{Blake3, Product};

    fn step(needs: &[u32], files: &[u32]) -> NewStep {
        NewStep {
            standing: Standing { turn: Turn::Cacheable, product: Some(Product::Outputs(Blake3([7; 32]))) },
            text: Text::default(),
            needs: needs.iter().map(|need| (*need, NeedKind::End)).collect(),
            inputs: files.to_vec(),
            directories: vec![9],
            outputs: Vec::new(),
        }
    }

    fn told(steps: &Steps) -> Vec<(Vec<u32>, Vec<u32>)> {
        let needs = |row: &StepRow<'_>| row.needs().map(|(need, _)| need).collect();
        steps.rows().map(|(_, row)| (needs(&row), row.files().collect())).collect()
    }

    #[test]
    fn a_step_takes_the_place_of_one_whatever_it_reads() {
        let mut steps = Steps::default();
        steps.push(&step(&[], &[1, 2]));
        steps.push(&step(&[0], &[3]));
        let size = steps.numbers.len();
        steps.replace(0, &step(&[], &[4, 5]));
        assert_eq!(told(&steps), [(vec![], vec![4, 5]), (vec![0], vec![3])]);
        assert_eq!(steps.numbers.len(), size);
        steps.replace(0, &step(&[1], &[4, 5, 6]));
        assert_eq!(told(&steps), [(vec![1], vec![4, 5, 6]), (vec![0], vec![3])]);
        let row = steps.row(0).unwrap();
        assert_eq!((row.standing, row.directories().collect::<Vec<_>>()), (step(&[], &[]).standing, vec![9]));
    }

    #[test]
    fn lists_that_do_not_lie_in_the_table_are_none() {
        let mut steps = Steps::default();
        steps.push(&step(&[], &[1, 2]));
        steps.numbers.truncate(4);
        assert_eq!((told(&steps), steps.row(0).is_none(), steps.row(1).is_none()), (vec![], true, true));
    }
}
