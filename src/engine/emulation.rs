//! Which programs of other machines this one runs.

use std::fs;
use std::path::Path;

use crate::oci::Platform;

/// Where the kernel lists the emulators that it hands programs to.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Whether the kernel hands programs of a platform to an emulator that it holds
/// open (`F`), so that it need not be in the image.
pub(super) fn is_emulated(platform: &Platform) -> bool {
    let name = match platform.architecture.as_str() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        "mipsle" => "mipsel",
        "mips64le" => "mips64el",
        "loong64" => "loongarch64",
        other => other,
    };
    let entry = fs::read_to_string(Path::new(BINFMT).join(format!("qemu-{name}"))).unwrap_or_default();
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
    entry.lines().next() == Some("enabled") && flags.contains('F')
}
