//! Unpacks an image into a root file system (OCI image specification, "Applying
//! Changesets").

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::diagnostic::{Code, Problem};
use crate::engine::image::{Image, compression, open, unread};
use crate::oci::{
    ArchiveEntry, ArchiveKind, Descriptor, FileTree, MAX_ARCHIVE_ENTRIES, read_archive, unpacked,
};
use crate::store::Layout;

/// Of files of this size it is looked whether the disk has room for them.
const LARGE: u64 = 1 << 20;

/// Unpacks the layers of an image into `rootfs`, an empty directory, and returns
/// the tree of what is there.
///
/// Nothing outside of `rootfs` is touched, whatever a layer says: no link is ever
/// followed, since every directory on the way is known to be a real one, or made
/// one. Devices are left out; what needs them finds those of the container.
///
/// # Errors
/// [`Code::HostileLayer`]: a path or a hard link leads out, or a layer is larger than
/// any. [`Code::NoRuntime`]: the disk refuses. A layer is damaged.
pub(super) fn unpack(image: &Image, layout: &Layout, rootfs: &Path) -> Result<FileTree, Problem> {
    let is_root = rustix::process::geteuid().is_root();
    let mut target =
        Target { rootfs: rootfs.to_owned(), tree: FileTree::default(), directories: HashSet::new(), is_root };
    set_mode(rootfs, 0o755).map_err(|error| refused(rootfs, &error))?;
    for (layer, diff_id) in image.layers() {
        let archive = unpacked(compression(layer)?, diff_id, open(layer, layout)?)
            .map_err(|error| unread(layer, layout, &error))?;
        target.tree.begin_layer();
        read_archive(archive, MAX_ARCHIVE_ENTRIES, &mut |entry, content| target.apply(entry, content))
            .map_err(|failure| failure.problem(layer, layout))?;
    }
    Ok(target.tree)
}

/// Why an entry was not unpacked.
enum Failure {
    Archive(io::Error),
    Disk(PathBuf, io::Error),
    /// A hard link to what is no file of the image.
    Link(Vec<u8>, Vec<u8>),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Archive(error)
    }
}

impl Failure {
    fn problem(self, layer: &Descriptor, layout: &Layout) -> Problem {
        match self {
            Self::Archive(error) => unread(layer, layout, &error),
            Self::Disk(path, error) => refused(&path, &error),
            Self::Link(path, target) => {
                let (path, target) = (String::from_utf8_lossy(&path), String::from_utf8_lossy(&target));
                let title = format!("the layer `{}` leads out of the image", layer.digest);
                Problem::new(Code::HostileLayer, title)
                    .note(format!("`/{path}` is a hard link to `/{target}`, which is no file of the image"))
            }
        }
    }
}

struct Target {
    rootfs: PathBuf,
    tree: FileTree,
    /// Paths that are known to be real directories.
    directories: HashSet<Vec<u8>>,
    is_root: bool,
}

impl Target {
    fn apply(&mut self, entry: &ArchiveEntry, content: &mut dyn Read) -> Result<(), Failure> {
        self.tree.apply_entry(entry);
        let (parent, name) = entry
            .path
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or((&[][..], entry.path.as_slice()), |at| {
                (entry.path.get(..at).unwrap_or_default(), entry.path.get(at + 1..).unwrap_or_default())
            });
        if let Some(deleted) = name.strip_prefix(b".wh.") {
            let path = if deleted == b".wh..opq" { parent.to_vec() } else { join(parent, deleted) };
            // Below a link there is nothing of the image that could be deleted.
            return if self.lies_in_directories(&path) { self.prune(&path) } else { Ok(()) };
        }
        if entry.path.is_empty() {
            let mode = entry.mode | if self.is_root { 0 } else { 0o700 };
            let rootfs = self.rootfs.clone();
            return set_mode(&rootfs, mode).map_err(|error| Failure::Disk(rootfs, error));
        }
        self.make_directories(parent)?;
        let path = self.path(&entry.path);
        self.place(entry, &path, content)?;
        self.adorn(entry, &path).map_err(|error| Failure::Disk(path, error))
    }

    fn place(&mut self, entry: &ArchiveEntry, path: &Path, content: &mut dyn Read) -> Result<(), Failure> {
        let disk = |error| Failure::Disk(path.to_owned(), error);
        match &entry.kind {
            ArchiveKind::Directory => self.make_directory(&entry.path),
            ArchiveKind::Special => self.remove(path),
            ArchiveKind::Symlink(text) => {
                self.remove(path)?;
                symlink(OsStr::from_bytes(text), path).map_err(disk)
            }
            ArchiveKind::HardLink(target) => {
                let original = self.path(target);
                let is_file = fs::symlink_metadata(&original).is_ok_and(|found| !found.is_dir());
                if *target == entry.path || !self.lies_in_directories(target) || !is_file {
                    return Err(Failure::Link(entry.path.clone(), target.clone()));
                }
                self.remove(path)?;
                fs::hard_link(original, path).map_err(disk)
            }
            ArchiveKind::File => {
                self.remove(path)?;
                self.check_room(entry.size).map_err(disk)?;
                let file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(disk)?;
                copy(content, file, path)
            }
        }
    }

    /// Whether the disk has room for a file, before it is full.
    fn check_room(&self, size: u64) -> io::Result<()> {
        if size < LARGE {
            return Ok(());
        }
        let disk = rustix::fs::statvfs(&self.rootfs)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if size <= free {
            return Ok(());
        }
        let text = format!("it has {size} bytes, and {free} bytes are free");
        Err(io::Error::new(io::ErrorKind::StorageFull, text))
    }

    /// Whether every directory on the way to a path is a real one.
    fn lies_in_directories(&self, path: &[u8]) -> bool {
        let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut parents = parents.filter_map(|(at, _)| path.get(..at)).map(|parent| self.path(parent));
        parents.all(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()))
    }

    /// Owner, permissions, and time; a link has only an owner of its own.
    fn adorn(&self, entry: &ArchiveEntry, path: &Path) -> io::Result<()> {
        if matches!(entry.kind, ArchiveKind::HardLink(_) | ArchiveKind::Special) {
            return Ok(());
        }
        if self.is_root {
            match lchown(path, Some(entry.uid), Some(entry.gid)) {
                // A root that may not give files away, in a user namespace.
                Err(error) if matches!(error.raw_os_error(), Some(1 | 22)) => {}
                other => other?,
            }
        }
        match entry.kind {
            ArchiveKind::Directory => set_mode(path, entry.mode | if self.is_root { 0 } else { 0o700 }),
            ArchiveKind::File => {
                let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(entry.mtime));
                set_mode(path, entry.mode)?;
                // A program may compare it; none depends on a time that no file can have.
                let _ = time.map(|time| File::open(path).and_then(|file| file.set_modified(time)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn make_directories(&mut self, path: &[u8]) -> Result<(), Failure> {
        if path.is_empty() || self.directories.contains(path) {
            return Ok(());
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let parent = path.get(..end).unwrap_or_default();
            if !self.directories.contains(parent) {
                self.make_directory(parent)?;
            }
        }
        Ok(())
    }

    /// Makes a directory, unless a real one is there.
    fn make_directory(&mut self, path: &[u8]) -> Result<(), Failure> {
        let full = self.path(path);
        if !fs::symlink_metadata(&full).is_ok_and(|found| found.is_dir()) {
            self.remove(&full)?;
            fs::create_dir(&full)
                .and_then(|()| set_mode(&full, 0o755))
                .map_err(|error| Failure::Disk(full, error))?;
        }
        self.directories.insert(path.to_vec());
        Ok(())
    }

    /// Removes what is on disk at or below a path and not in the tree any more.
    fn prune(&mut self, path: &[u8]) -> Result<(), Failure> {
        let full = self.path(path);
        if !path.is_empty() && self.tree.get(path).is_none() {
            return self.remove(&full);
        }
        if !fs::symlink_metadata(&full).is_ok_and(|found| found.is_dir()) {
            return Ok(());
        }
        let disk = |error| Failure::Disk(full.clone(), error);
        let names: io::Result<Vec<_>> =
            fs::read_dir(&full).and_then(|names| names.map(|entry| Ok(entry?.file_name())).collect());
        names.map_err(disk)?.iter().try_for_each(|name| self.prune(&join(path, name.as_bytes())))
    }

    fn remove(&mut self, path: &Path) -> Result<(), Failure> {
        let removed = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(found) if found.is_dir() => {
                self.directories.clear();
                fs::remove_dir_all(path)
            }
            Ok(_) => fs::remove_file(path),
        };
        removed.map_err(|error| Failure::Disk(path.to_owned(), error))
    }

    fn path(&self, path: &[u8]) -> PathBuf {
        self.rootfs.join(OsStr::from_bytes(path))
    }
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, name].join(&b'/') }
}

fn copy(content: &mut dyn Read, mut file: File, path: &Path) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        file.write_all(buffer.get(..count).unwrap_or_default())
            .map_err(|error| Failure::Disk(path.to_owned(), error))?;
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn refused(path: &Path, error: &io::Error) -> Problem {
    Problem::new(Code::NoRuntime, format!("the image cannot be unpacked to `{}`", path.display()))
        .note(error.to_string())
        .help("have `TMPDIR` name a directory on a disk with room")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{ImageConfig, Manifest, Platform, media_type};

    /// What a layer's archive has: a path that ends with `/` is a directory,
    /// `-> x` a symbolic link, `= x` a hard link; all else is content.
    fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (path, what) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            let link = what.strip_prefix("-> ").or(what.strip_prefix("= "));
            let content = if link.is_some() { "" } else { what };
            header.set_entry_type(match (path, what) {
                (path, _) if path.ends_with('/') => tar::EntryType::Directory,
                (_, what) if what.starts_with("-> ") => tar::EntryType::Symlink,
                (_, what) if what.starts_with("= ") => tar::EntryType::Link,
                _ => tar::EntryType::Regular,
            });
            let link = link.unwrap_or_default().as_bytes();
            header.as_ustar_mut().unwrap().linkname[..link.len()].copy_from_slice(link);
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(1_000_000_000);
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.extend(header.as_bytes());
            archive.extend(content.as_bytes());
            archive.resize(archive.len().next_multiple_of(512), 0);
        }
        archive
    }

    /// Unpacks layers to `root` below a directory that they must not leave, and
    /// lists everything in it.
    fn unpacked(layers: &[&[(&str, &str)]]) -> Result<Vec<String>, Problem> {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path().join("layout")).unwrap();
        let top = directory.path().join("top");
        fs::create_dir_all(top.join("root")).unwrap();
        fs::write(top.join("secret"), "secret").unwrap();
        let layers = layers.iter().map(|layer| layout.write(media_type::LAYER, &archive(layer)).unwrap());
        let config = layout.write(media_type::CONFIG, b"{}").unwrap();
        let manifest = Manifest::new(config, layers.collect());
        let descriptor = layout.write(media_type::MANIFEST, &manifest.to_bytes()).unwrap();
        let image = Image { descriptor, config: config_of(&manifest), manifest };
        let done = unpack(&image, &layout, &top.join("root"));
        assert_eq!(fs::read_to_string(top.join("secret")).unwrap(), "secret");
        let outside: Vec<_> = fs::read_dir(&top).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(outside.len(), 2, "{outside:?}");
        let tree = done?;
        let mut lines = Vec::new();
        list(&top.join("root"), "", &mut lines);
        let paths = tree.iter().map(|(path, _)| String::from_utf8(path.to_vec()).unwrap());
        let found = lines.iter().map(|line| line.split(' ').next().unwrap().trim_end_matches('/').to_owned());
        assert_eq!(found.collect::<Vec<_>>(), paths.collect::<Vec<_>>(), "the tree is what is on disk");
        Ok(lines)
    }

    /// The configuration of an image whose layers are not compressed.
    fn config_of(manifest: &Manifest) -> ImageConfig {
        let mut config = ImageConfig::new(&Platform::host());
        config.rootfs.diff_ids.extend(manifest.layers.iter().map(|layer| layer.digest));
        config
    }

    fn list(directory: &Path, below: &str, lines: &mut Vec<String>) {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let path = directory.join(&name);
            let shown = format!("{below}{}", name.to_str().unwrap());
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                lines.push(format!("{shown}/"));
                list(&path, &format!("{shown}/"), lines);
            } else if metadata.is_symlink() {
                lines.push(format!("{shown} -> {}", fs::read_link(&path).unwrap().display()));
            } else {
                lines.push(format!("{shown} {}", fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn a_deletion_does_not_lead_out() {
        for path in [".wh...", "a/.wh...", ".wh.."] {
            let found = unpacked(&[&[("a/", ""), ("a/b", "b")], &[(path, "")]]);
            assert_eq!(found.unwrap_err().code, Code::HostileLayer, "{path}");
        }
    }

    #[test]
    fn layers_are_put_upon_each_other() {
        let lower = [
            ("d/", ""),
            ("d/a", "1"),
            ("d/b", "2"),
            ("e/x", "3"),
            ("f", "4"),
            ("l", "-> d/a"),
            ("o/old", "5"),
        ];
        let upper = [
            ("d/a", "9"),
            ("d/.wh.b", ""),
            (".wh.e", ""),
            ("f/", ""),
            ("f/new", "8"),
            ("l", "7"),
            ("o/new", "6"),
            ("o/.wh..wh..opq", ""),
            ("h", "= d/a"),
        ];
        let found = unpacked(&[&lower, &upper]).unwrap();
        assert_eq!(found, ["d/", "d/a 9", "f/", "f/new 8", "h 9", "l 7", "o/", "o/new 6"]);
    }

    #[test]
    fn permissions_and_times_are_those_of_the_layer() {
        let directory = tempfile::tempdir().unwrap();
        let (layout, image) = image(directory.path(), &archive(&[("x", "1")]));
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        unpack(&image, &layout, &root).unwrap();
        let metadata = fs::metadata(root.join("x")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
        assert_eq!(metadata.modified().unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        // A link out of the image is just a link; what is put below it is not
        // put where it leads, in the same layer and in a later one.
        let found =
            unpacked(&[&[("a", "-> .."), ("a/secret", "hacked"), ("b", "-> ../secret"), ("b", "new")]]);
        assert_eq!(found.unwrap(), ["a/", "a/secret hacked", "b new"]);
        let found = unpacked(&[&[("a", "-> .."), ("c", "-> /etc")], &[("a/secret", "hacked")]]);
        assert_eq!(found.unwrap(), ["a/", "a/secret hacked", "c -> /etc"]);
        let found = unpacked(&[&[("a", "-> ..")], &[("a/.wh.secret", ""), ("a/.wh..wh..opq", "")]]);
        assert_eq!(found.unwrap(), ["a -> .."]);
    }

    #[test]
    fn what_comes_twice_is_what_came_last() {
        let found =
            unpacked(&[&[("x", "1"), ("x", "2"), ("d/y", "3"), ("d", "4"), ("e", "5"), ("e/z", "6")]]);
        assert_eq!(found.unwrap(), ["d 4", "e/", "e/z 6", "x 2"]);
        let found =
            unpacked(&[&[("l", "-> x"), ("l/", ""), ("l/y", "1"), ("x", "2"), ("h", "= x"), ("h", "3")]]);
        assert_eq!(found.unwrap(), ["h 3", "l/", "l/y 1", "x 2"]);
    }

    #[test]
    fn another_name_of_a_link_is_a_link_to_the_tree_too() {
        let directory = tempfile::tempdir().unwrap();
        let layer =
            archive(&[("out", "-> /nowhere"), ("again", "= out"), ("again/x", "1"), ("more", "= out")]);
        let (layout, image) = image(directory.path(), &layer);
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let tree = unpack(&image, &layout, &root).unwrap();
        // Who makes a directory where a path leads in the image makes it there.
        assert_eq!(tree.resolve(b"more/x"), Some(b"nowhere/x".to_vec()));
        assert_eq!(tree.resolve(b"again/x"), Some(b"again/x".to_vec()));
        assert!(root.join("again").is_dir() && root.join("more").is_symlink());
    }

    #[test]
    fn devices_are_left_out_and_nothing_of_them_is_there() {
        let mut layer = archive(&[("dev/", ""), ("dev/sda", ""), ("x", "1")]);
        let mut device = tar::Header::new_ustar();
        device.as_mut_bytes().copy_from_slice(&layer[512..1024]);
        device.set_entry_type(tar::EntryType::Block);
        device.set_device_major(8).unwrap();
        device.set_device_minor(0).unwrap();
        device.set_cksum();
        layer[512..1024].copy_from_slice(device.as_bytes());
        let directory = tempfile::tempdir().unwrap();
        let (layout, image) = image(directory.path(), &layer);
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        unpack(&image, &layout, &root).unwrap();
        assert!(!root.join("dev/sda").exists() && root.join("x").exists());
    }

    /// An image with one layer, in a layout below a directory.
    fn image(directory: &Path, layer: &[u8]) -> (Layout, Image) {
        let layout = Layout::create(directory.join("layout")).unwrap();
        let layer = layout.write(media_type::LAYER, layer).unwrap();
        let config = layout.write(media_type::CONFIG, b"{}").unwrap();
        let manifest = Manifest::new(config.clone(), vec![layer]);
        (layout, Image { descriptor: config, config: config_of(&manifest), manifest })
    }

    #[test]
    fn paths_and_hard_links_that_lead_out_are_refused() {
        let refused = |layer: &[(&str, &str)]| {
            let problem = unpacked(&[layer]).unwrap_err();
            assert_eq!(problem.code, Code::HostileLayer);
            problem.notes[0].clone()
        };
        assert_eq!(refused(&[("../secret", "x")]), "`../secret` leads out of it");
        assert_eq!(refused(&[("x", "= ../secret")]), "`../secret` leads out of it");
        let no_file = "`/x` is a hard link to `/a/secret`, which is no file of the image";
        assert_eq!(refused(&[("a", "-> .."), ("x", "= a/secret")]), no_file);
        assert!(refused(&[("x", "= x")]).contains("is no file of the image"));
    }
}
