//! A tree of files that becomes an image, written for several programs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Bench;
use crate::directory;
use crate::measure::{Contender, in_turns, run};
use crate::table::against;

/// Bytes of the one large file.
const LARGE: usize = 200_000_000;
/// Bytes of which every second piece of the large file is noise.
const PIECE: usize = 64 << 10;

/// How an image is built by another program, which writes it to a layout.
const BUILDAH: &str = "buildah --root $PWD/store --runroot $PWD/run --storage-driver vfs build --isolation chroot \
     --no-cache --quiet --tag bench . && buildah --root $PWD/store --runroot $PWD/run --storage-driver vfs push \
     --quiet bench oci:pushed:1";

/// Writes small files of text, and a large one that compresses to half its size.
pub(crate) fn write(root: &Path, files: usize) {
    for at in 0..files {
        let below = root.join(format!("data/small/{}", at % 100));
        fs::create_dir_all(&below).expect("a directory can be made");
        let text = format!("file {at}: what is in it is said again and again\n").repeat(20 + at % 60);
        fs::write(below.join(at.to_string()), text).expect("a file can be written");
    }
    fs::create_dir_all(root.join("data/large")).expect("a directory can be made");
    let mut state = 1_u64;
    let mut large = Vec::with_capacity(LARGE + 8);
    while large.len() < LARGE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let is_noise = (large.len() / PIECE).is_multiple_of(2);
        large.extend(if is_noise { state.to_le_bytes() } else { *b"the same" });
    }
    fs::write(root.join("data/large/binary"), large).expect("a file can be written");
    fs::write(root.join("Containerfile"), "FROM scratch\nCOPY data /data\n").expect("a file can be written");
}

/// Declares an image of the tree in two layers.
fn declare(root: &Path, compression: &str, platforms: &str) {
    let text = format!(
        "default \"web\"\nimage \"web\" {{ platforms {platforms}; assemble from=\"scratch\" compression=\"{compression}\" {{ \
         layer {{ copy \"data/small\" \"/data/small\"; }}; layer {{ copy \"data/large\" \"/data/large\"; }}; }}; }}\n"
    );
    fs::write(root.join("release.kdl"), text).expect("a file can be written");
}

/// Declares an image of the tree that is released to a layout.
pub(crate) fn release(root: &Path) {
    let text = "registry \"out\" \"oci:dist\"\nimage \"web\" { assemble from=\"scratch\" { \
         layer { copy \"data/small\" \"/data/small\"; }; layer { copy \"data/large\" \"/data/large\"; }; }; \
         tags { raw \"1.0.0\"; }; push \"out\"; }\n";
    fs::write(root.join("release.kdl"), text).expect("a file can be written");
}

/// Forgets what was built.
fn forget(root: &Path) {
    for known in [".hoist", "cache", "store", "run", "pushed"] {
        let _ = fs::remove_dir_all(root.join(known));
    }
}

impl Bench {
    /// An image of a tree of small files and a large one.
    pub(crate) fn image(&self, files: usize) {
        let directory = directory();
        let root = directory.path();
        write(root, files);
        let hoist = || self.hoist(&["run", "--quiet"]);
        let pipe = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        let one = "\"linux/amd64\"";
        let cold = |compression: &str, must: &str, name: &'static str, script: &str, buildah: bool| {
            declare(root, compression, one);
            let what = format!("image of {files} files and one of 200 MB, {compression}, cold");
            let other = Contender { name, line: pipe(script), before: Box::new(|_| {}) };
            let mut others = vec![other];
            if buildah {
                let other =
                    Contender { name: "buildah", line: pipe(BUILDAH), before: Box::new(|_| forget(root)) };
                others.push(other);
            }
            self.compare(&directory, &what, must, hoist().before(|_| forget(root)), others);
        };
        let zstd = "tar -c data | zstd -q -3 -T2 | sha256sum";
        cold("zstd", "≤ 1.3 × tar, zstd, sha256sum", "tar | zstd -3 -T2 | sha256sum", zstd, false);
        let gzip = "tar -c data | pigz -6 -p2 | sha256sum";
        cold("gzip", "≤ 1.2 × tar, pigz, sha256sum", "tar | pigz -6 -p2 | sha256sum", gzip, true);

        let what = format!("image of {files} files and one of 200 MB");
        forget(root);
        run(root, &hoist().line);
        let nothing = in_turns(root, self.rounds, &[hoist()]).remove(0);
        against(&format!("{what}, nothing changed"), &nothing, "", Duration::from_millis(50), "≤ 50 ms");
        let edit = |round: usize| {
            fs::write(root.join("data/small/0/0"), format!("round {round}\n"))
                .expect("a file can be written");
        };
        let layer = Contender {
            name: "tar | pigz | sha256sum of its layer",
            line: pipe("tar -c data/small | pigz -6 -p2 | sha256sum"),
            before: Box::new(edit),
        };
        let must = "its layer alone";
        self.compare(
            &directory,
            &format!("{what}, a small one changed"),
            must,
            hoist().before(edit),
            [layer],
        );

        // The file of one platform is another one for each side.
        let both = |_| {
            forget(root);
            declare(root, "gzip", "\"linux/amd64\" \"linux/arm64\"");
        };
        let single = Contender {
            name: "hoist, one platform",
            ..hoist().before(|_| {
                forget(root);
                declare(root, "gzip", one);
            })
        };
        let what = format!("{what}, two platforms, cold");
        self.compare(&directory, &what, "≤ 1.1: layers are written once", hoist().before(both), [single]);
    }
}
