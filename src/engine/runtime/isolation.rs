//! What the child does to itself before it makes a container.

use std::ffi::CString;
use std::fmt::Display;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::{fs, io};

use libcontainer::namespaces::Namespaces;
use libcontainer::network::link::LinkClient;
use libcontainer::network::wrapper::create_network_client;
use libcontainer::oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::process::{getegid, geteuid};

use crate::diagnostic::causes;
use crate::engine::runtime::file;

/// Where cgroups are found.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Gives the process mounts and a network of its own; where it is not root, or a
/// root that may not have them or is one only in its own user namespace, with a
/// user namespace in which it is root and the only user.
/// Returns whether it has one.
pub(super) fn isolate() -> Result<bool, String> {
    let rootless = !is_real_root() || unshare(LinuxNamespaceType::Mount).is_err();
    if rootless {
        become_user(0, 0)?;
        unshare(LinuxNamespaceType::Mount).map_err(|error| said("a namespace for mounts", error))?;
    }
    // Else what is done to mounts here would be seen by the whole machine.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| said("mounts of its own", error))?;
    hide_cgroups()?;
    unshare(LinuxNamespaceType::Network).map_err(|error| said("a network of its own", error))?;
    let up = LinkClient::new(create_network_client()).and_then(|mut client| {
        let lo = client.get_by_name("lo")?.header.index;
        client.set_up(lo)
    });
    up.map_err(|error| said("a loopback interface", error))?;
    // As in Docker, every user may listen on every port: the network is its own.
    // A kernel without this switch just keeps the low ports to root.
    let _ = fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    Ok(rootless)
}

/// Has the root file system of a directory be another one, which is only read, with
/// what is written put upon it (Linux, `overlayfs`).
pub(super) fn cover(base: &Path, directory: &Path, rootless: bool) -> Result<(), String> {
    let failed = |error: io::Error| said("files upon others", error);
    let [rootfs, upper, work] = [file::ROOTFS, file::UPPER, file::WORK].map(|name| directory.join(name));
    for path in [&rootfs, &upper, &work] {
        fs::create_dir_all(path).map_err(failed)?;
    }
    // The root itself is that of what is written.
    let root = fs::metadata(base).map_err(failed)?;
    fs::set_permissions(&upper, root.permissions()).map_err(failed)?;
    if !rootless {
        chown(&upper, Some(root.uid()), Some(root.gid())).map_err(failed)?;
    }
    let mut options =
        format!("lowerdir={},upperdir={},workdir={}", base.display(), upper.display(), work.display());
    if options.matches([',', ':', '\\']).count() > 2 {
        return Err(said("files upon others", "a path has a sign that stands between options"));
    }
    options.push_str(if rootless { ",userxattr" } else { "" });
    let options = CString::new(options).map_err(|error| said("files upon others", error))?;
    mount("overlay", &rootfs, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .map_err(|error| failed(error.into()))
}

/// Undoes [`cover`], so that the directory can be removed.
pub(super) fn uncover(directory: &Path) {
    let _ = unmount(directory.join(file::ROOTFS), UnmountFlags::DETACH);
    let work = directory.join(file::WORK).join("work");
    let _ = fs::set_permissions(work, fs::Permissions::from_mode(0o700));
}

/// Whether the process is root, and every number names a user to it.
fn is_real_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Makes a user namespace in which the process is this user, and there is no other.
pub(super) fn become_user(inside: u32, group: u32) -> Result<(), String> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(LinuxNamespaceType::User).map_err(|error| said("a namespace for users", error))?;
    let map = |file: &str, text: String| {
        fs::write(Path::new("/proc/self").join(file), text).map_err(|error| said("a map of users", error))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{inside} {uid} 1"))?;
    map("gid_map", format!("{group} {gid} 1"))
}

/// Has the library find no cgroups that it could use.
///
/// It would join one even without a limit to set, which fails wherever they
/// cannot be written: in most containers, and for most users. Of an empty
/// directory in their place it makes nothing. Where the mounts of the machine
/// cannot be taken away, in a user namespace, they are covered by a hierarchy of
/// version 2 that cannot be written: that the library passes over.
fn hide_cgroups() -> Result<(), String> {
    if !Path::new(CGROUPS).is_dir() {
        return Err(format!("there is no directory `{CGROUPS}`; is `/sys` mounted?"));
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if unmount(CGROUPS, UnmountFlags::DETACH).is_ok() {
        return mount("tmpfs", CGROUPS, "tmpfs", flags, None)
            .map_err(|error| said("a place for cgroups", error));
    }
    unshare(LinuxNamespaceType::Cgroup).map_err(|error| said("a namespace for cgroups", error))?;
    mount("cgroup2", CGROUPS, "cgroup2", flags | MountFlags::RDONLY, None)
        .map_err(|error| said("cgroups out of sight", error))
}

fn unshare(kind: LinuxNamespaceType) -> Result<(), String> {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind);
    let namespaces = Namespaces::try_from(Some(&vec![namespace])).map_err(|error| error.to_string())?;
    namespaces.apply_namespaces(|_| true).map_err(|error| causes(&error))
}

fn said(what: &str, error: impl Display) -> String {
    format!("this process may not have {what}: {error}")
}
