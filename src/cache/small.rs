//! Contents that are so small that they lie in the record of the step that made
//! them: a file of its own would cost more than what it holds.

use std::collections::HashMap;

use crate::cache::{Blake3, Output, OutputKind, Outputs};

/// Largest content that lies in a record, in bytes.
const LARGEST: u64 = 4096;

/// Most bytes of contents in one record: it is read whole to see whether a step
/// has to run.
const ROOM: u64 = 64 * 1024;

/// Contents by their digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Small(HashMap<Blake3, Vec<u8>>);

impl Small {
    /// Those of these outputs, out of bytes that were [written](Self::write) for
    /// them; `None` for other bytes.
    pub(super) fn read(outputs: &Outputs, mut bytes: &[u8]) -> Option<Self> {
        let small = Self::collect(outputs, |_, _, size| {
            let (content, rest) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
            bytes = rest;
            Some(content.to_vec())
        });
        small.filter(|_| bytes.is_empty())
    }

    /// Appends those of these outputs.
    pub(super) fn write(&self, outputs: &Outputs, to: &mut Vec<u8>) {
        for (_, digest, _) in chosen(outputs) {
            to.extend_from_slice(self.get(digest).unwrap_or_default());
        }
    }

    /// Those of these outputs, if each can be had; `content` is told its digest and
    /// size.
    pub(super) fn collect(
        outputs: &Outputs,
        mut content: impl FnMut(&Output, Blake3, u64) -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let contents =
            chosen(outputs).map(|(output, digest, size)| Some((digest, content(output, digest, size)?)));
        contents.collect::<Option<_>>().map(Self)
    }

    /// A content, if it is one of these.
    pub(super) fn get(&self, digest: Blake3) -> Option<&[u8]> {
        self.0.get(&digest).map(Vec::as_slice)
    }
}

/// The outputs whose contents lie in the record, with their digests and sizes.
fn chosen(outputs: &Outputs) -> impl Iterator<Item = (&Output, Blake3, u64)> {
    let mut room = ROOM;
    outputs.iter().filter_map(move |output| match output.kind {
        OutputKind::File { digest, size, .. } if size <= LARGEST.min(room) => {
            room -= size;
            Some((output, digest, size))
        }
        _ => None,
    })
}
