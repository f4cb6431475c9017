//! Archives of layers: whatever they hold, nothing leads out, and what is read of
//! them can be written again.
#![no_main]

use std::io;

use hoist::oci::{
    ArchiveKind, FileTree, Layer, LayerEntry, LayerEntryKind, MAX_ARCHIVE_ENTRIES, NodeKind, decompress,
    media_type::Compression, read_archive,
};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;

/// Headers get the checksum that they should have: no fuzzer finds it.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for block in bytes.chunks_exact_mut(BLOCK) {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    for compression in [Compression::Gzip, Compression::Zstd] {
        if let Ok(archive) = decompress(compression, data) {
            let _ = FileTree::default().apply(archive);
        }
    }
    let archive = with_checksums(data);
    let mut layer = Layer::default();
    let read = read_archive(archive.as_slice(), MAX_ARCHIVE_ENTRIES, &mut |entry, content| {
        let names: Vec<&[u8]> = entry.path.split(|byte| *byte == b'/').collect();
        assert!(entry.path.is_empty() || names.iter().all(|name| !matches!(*name, b"" | b"." | b"..")));
        assert!(!entry.path.contains(&0));
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let kind = match &entry.kind {
            ArchiveKind::File => LayerEntryKind::File { size: bytes.len() as u64, content: bytes },
            ArchiveKind::Directory => LayerEntryKind::Directory,
            ArchiveKind::Symlink(text) => LayerEntryKind::Symlink(text.clone()),
            ArchiveKind::HardLink(_) | ArchiveKind::Special => return Ok::<_, io::Error>(()),
        };
        let entry = LayerEntry { kind, mode: entry.mode, uid: entry.uid, gid: entry.gid };
        let _ = layer.insert(&names.join(&b'/'), entry);
        Ok(())
    });
    let mut tree = FileTree::default();
    if read.is_err() || tree.apply(archive.as_slice()).is_err() {
        return;
    }
    for (path, node) in tree.iter() {
        if let Some(at) = path.iter().rposition(|byte| *byte == b'/') {
            let parent = tree.get(&path[..at]).map(|parent| &parent.kind);
            assert!(parent.is_some_and(NodeKind::is_directory), "{path:?} lies in no directory");
        }
        if let (NodeKind::Symlink(_), Some(found)) = (&node.kind, tree.resolve(path)) {
            assert!(found.split(|byte| *byte == b'/').all(|name| name != b".."), "{path:?} leads out");
        }
    }
    let mut written = Vec::new();
    let open = |content: &Vec<u8>| Ok(io::Cursor::new(content.clone()));
    let digest =
        layer.write(hoist::oci::LayerCompression::GZIP, &mut written, open).expect("memory takes it");
    assert_eq!(layer.diff_id(open).expect("memory takes it"), digest);
    let mut again = Vec::new();
    let archive = decompress(Compression::Gzip, written.as_slice()).expect("it can be set up");
    let read = read_archive(archive, MAX_ARCHIVE_ENTRIES, &mut |entry, _| {
        again.push(entry.path.clone());
        Ok::<_, io::Error>(())
    });
    read.expect("what is written can be read");
    assert!(again.iter().map(Vec::as_slice).eq(layer.iter().map(|(path, _)| path)));
});
