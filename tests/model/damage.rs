//! What befalls files behind hoist's back.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::event::Damage;

/// All files and links at a path and below it, sorted.
pub(crate) fn files_below(path: &Path) -> Vec<PathBuf> {
    let Ok(metadata) = path.symlink_metadata() else { return Vec::new() };
    if !metadata.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.flat_map(|entry| files_below(&entry.path())).collect();
    found.sort();
    found
}

/// Damages the file that the number falls on.
pub(crate) fn befall(path: &Path, number: u64, damage: Damage) {
    let files = files_below(path);
    let Some(file) = files.get(usize::try_from(number % files.len().max(1) as u64).unwrap_or(0)) else {
        return;
    };
    if file.is_symlink() || !file.is_file() {
        return drop(fs::remove_file(file));
    }
    let mut bytes = fs::read(file).unwrap_or_default();
    let metadata = file.metadata().expect("it is there");
    let at = usize::try_from(number >> 16).unwrap_or(0) % bytes.len().max(1);
    match damage {
        Damage::Truncate => bytes.truncate(at),
        Damage::Flip | Damage::Disguise => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1),
        Damage::Append => bytes.push(b'x'),
        Damage::Delete => return fs::remove_file(file).expect("it can be removed"),
        Damage::Mode => {
            let mode = metadata.permissions().mode() ^ 0o111;
            return fs::set_permissions(file, Permissions::from_mode(mode)).expect("it is ours");
        }
        Damage::Directory => {
            fs::remove_file(file).expect("it can be removed");
            fs::create_dir(file).expect("it can be made");
            return fs::write(file.join("thing"), "thing").expect("it can be written");
        }
        Damage::Link => {
            fs::remove_file(file).expect("it can be removed");
            return symlink("../src/f0", file).expect("it can be made");
        }
        Damage::Extra => {
            let beside = file.with_file_name("extra");
            return fs::write(beside, "extra").expect("it can be written");
        }
    }
    if fs::write(file, bytes).is_ok() && matches!(damage, Damage::Disguise) {
        let time = metadata.modified().expect("it has a time");
        drop(File::options().append(true).open(file).map(|file| file.set_modified(time)));
    }
}
