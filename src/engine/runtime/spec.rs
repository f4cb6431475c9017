//! Containers in the words of the runtime (OCI runtime specification).

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::engine::runtime::{Container, file};

/// What a process of root may do in a container: the default of Docker.
const CAPABILITIES: &[(&str, u32)] = &[
    ("CAP_CHOWN", 0),
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_FOWNER", 3),
    ("CAP_FSETID", 4),
    ("CAP_KILL", 5),
    ("CAP_SETGID", 6),
    ("CAP_SETUID", 7),
    ("CAP_SETPCAP", 8),
    ("CAP_NET_BIND_SERVICE", 10),
    ("CAP_NET_RAW", 13),
    ("CAP_SYS_CHROOT", 18),
    ("CAP_MKNOD", 27),
    ("CAP_AUDIT_WRITE", 29),
    ("CAP_SETFCAP", 31),
];

/// Parts of `/proc` and `/sys` that say too much about the machine.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

/// Parts of `/proc` that change the machine.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The specification of a container.
pub(super) fn spec(container: &Container, directory: &Path, rootless: bool) -> Value {
    let capabilities = capabilities();
    let user = if rootless {
        json!({ "uid": 0, "gid": 0 })
    } else {
        json!({ "uid": container.uid, "gid": container.gid, "additionalGids": container.groups })
    };
    // A process that is not root has none but what a file gives it.
    let effective = if container.uid == 0 || rootless { capabilities.clone() } else { Vec::new() };
    let namespaces = ["pid", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": user,
            "args": container.args,
            "env": container.env,
            "cwd": container.cwd,
            "capabilities": {
                "bounding": capabilities, "permitted": effective.clone(), "effective": effective,
            },
        },
        "root": { "path": directory.join(file::ROOTFS), "readonly": false },
        "hostname": container.hostname,
        "mounts": mounts(directory, rootless),
        "linux": {
            "cgroupsPath": "/hoist-container",
            "namespaces": namespaces,
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    })
}

fn mounts(directory: &Path, rootless: bool) -> Vec<Value> {
    let mount = |kind: &str, at: &str, options: &[&str]| json!({ "type": kind, "source": kind, "destination": at, "options": options });
    let mut terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    // The group `tty`, which a user alone cannot map.
    terminals.extend((!rootless).then_some("gid=5"));
    vec![
        mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("devpts", "/dev/pts", &terminals),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        json!({
            "type": "bind", "source": directory.join("hosts"), "destination": "/etc/hosts",
            "options": ["bind", "ro"],
        }),
    ]
}

/// Those of the default capabilities that this process may pass on.
fn capabilities() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default()
    };
    let mine = set("CapBnd:") & set("CapPrm:");
    CAPABILITIES.iter().filter(|(_, bit)| mine >> bit & 1 == 1).map(|(name, _)| *name).collect()
}
