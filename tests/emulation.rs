//! Images for a machine that this one is not: its programs run by an emulator.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hoist::oci::{Index, Platform};
use hoist::store::Layout;

use crate::engine_faults::says;
use crate::engines::{Project, Published, engines};
use crate::fixture::{installed, left_out};

/// Mounts the list of emulators where it is not.
const MOUNT: &str = "{ test -e /proc/sys/fs/binfmt_misc/register || \
                     mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; }";
const ENTRY: &str = "/proc/sys/fs/binfmt_misc/qemu-aarch64";

/// The emulator of arm64, known to the kernel as long as this is there. It is seen in the
/// list only where that is mounted.
enum Emulator {
    /// The machine has it.
    Had,
    /// Holds a mount of the list: the kernel forgets it with the last one.
    Registered(Child),
}

impl Emulator {
    fn register() -> Result<Self, String> {
        if Path::new(ENTRY).exists() {
            return Ok(Self::Had);
        }
        let settings = "/usr/lib/binfmt.d/qemu-aarch64.conf";
        let list = "/proc/sys/fs/binfmt_misc/register";
        let script = format!(
            "{MOUNT} && {{ test -e {ENTRY} || cat {settings} > {list}; }} && cat {ENTRY} && exec cat 2>&1"
        );
        let mut keeper = Command::new("unshare");
        keeper.args(["--mount", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        let output = keeper.stdout.take().expect("it is piped");
        let read = BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string());
        let keeper = Self::Registered(keeper);
        if read? > 0 && line.trim() == "enabled" { Ok(keeper) } else { Err(format!("no emulator: {line}")) }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Self::Registered(keeper) = self {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

/// A program for Linux of nothing but this code (ELF).
fn program(machine: u16, code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2, machine, 1, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [BASE + HEADERS, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    for half in [0_u16, 0, 64, 56, 1, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    // One segment: read and executed.
    bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let size = HEADERS + code.len() as u64;
    for word in [0, BASE, BASE, size, size, 0x1_0000] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(code);
    bytes
}

/// What the programs write, to `/made` and to standard output.
fn text(architecture: &str) -> String {
    format!("on {architecture}\n")
}

fn arm64() -> Vec<u8> {
    let text = text("arm64");
    let movz = |register: u32, value: u32| 0xD280_0000 | value << 5 | register;
    let adr = |register: u32, offset: u32| 0x1000_0000 | (offset & 3) << 29 | (offset >> 2) << 5 | register;
    let length = u32::try_from(text.len()).unwrap();
    let call = 0xD400_0001;
    let (openat, write, exit) = (56, 64, 93);
    let open = [0x9280_0000 | 99 << 5, adr(1, 60), movz(2, 0x41), movz(3, 0o644), movz(8, openat), call];
    let to_file = [adr(1, 48), movz(2, length), movz(8, write), call];
    let to_output = [movz(0, 1), movz(8, write), call];
    let end = [movz(0, 0), movz(8, exit), call];
    let words = [open.as_slice(), &to_file, &to_output, &end].concat();
    let code: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    assert_eq!(code.len(), 64);
    program(183, &[code.as_slice(), b"/made\0\0\0", text.as_bytes()].concat())
}

fn amd64() -> Vec<u8> {
    let text = text("amd64");
    let length = u8::try_from(text.len()).unwrap();
    let open = b"\xbf\x9c\xff\xff\xff\x48\x8d\x35\x3c\0\0\0\xba\x41\0\0\0\x41\xba\xa4\x01\0\0\xb8\x01\x01\0\0\x0f\x05";
    let to_file =
        [b"\x89\xc7\x48\x8d\x35\x29\0\0\0\xba".as_slice(), &[length], b"\0\0\0\xb8\x01\0\0\0\x0f\x05"]
            .concat();
    let to_output = b"\xbf\x01\0\0\0\xb8\x01\0\0\0\x0f\x05";
    let end = b"\x31\xff\xb8\x3c\0\0\0\x0f\x05";
    let code = [open.as_slice(), &to_file, to_output, end].concat();
    assert_eq!(code.len(), 72);
    program(62, &[code.as_slice(), b"/made\0\0\0", text.as_bytes()].concat())
}

fn project(engine: &str) -> Project {
    let project = Project::new(engine);
    project.repo.write(
        "release.kdl",
        r#"
image "web" {
    dockerfile context="web"
    platforms "linux/amd64" "linux/arm64"
    test "speaks" { run "/program"; expect stdout="on a"; }
    tags { raw "dev"; }
    push "images"
}
registry "images" "oci:dist"
"#,
    );
    project.repo.write(
        "web/Dockerfile",
        "FROM scratch\nARG TARGETARCH\nCOPY program-$TARGETARCH /program\nRUN [\"/program\"]\n",
    );
    for (name, bytes) in [("amd64", amd64()), ("arm64", arm64())] {
        let path = format!("web/program-{name}");
        project.repo.write(&path, bytes);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(project.repo.path().join(path), mode).unwrap();
    }
    project.repo.commit("Begin");
    project
}

#[test]
fn an_image_for_two_platforms_is_built_and_tested_on_both() {
    const TEST: &str = "images for arm64";
    if !rustix::process::geteuid().is_root() || !installed(TEST, &["qemu-aarch64-static", "unshare"]) {
        return;
    }
    if Platform::host().to_string() != "linux/amd64" {
        return;
    }
    let projects: Vec<Project> = engines(TEST).iter().map(|engine| project(engine)).collect();
    let Some(first) = projects.first() else { return };
    if !Path::new(ENTRY).exists() {
        let told = ["hoist::engine::no_engine", "release.kdl:3:5", "linux/arm64", "qemu-user-static"];
        says(&first.hoist(&["run", "web"]), 3, &told);
    }
    let _emulator = match Emulator::register() {
        Ok(emulator) => emulator,
        Err(why) => return left_out(TEST, &why),
    };
    for project in projects {
        let engine = &project.engine;
        says(&project.hoist_where(MOUNT, &["release", "--yes"], &[]), 0, &[]);
        let layout = Layout::open(project.repo.path().join("dist/web")).unwrap();
        let index = Index::parse(&layout.read(&layout.only().unwrap()).unwrap()).unwrap();
        assert_eq!(index.manifests.len(), 2, "{engine}");
        for (manifest, architecture) in index.manifests.iter().zip(["amd64", "arm64"]) {
            let platform = manifest.platform.as_ref().map(ToString::to_string);
            assert_eq!(platform.as_deref(), Some(&*format!("linux/{architecture}")), "{engine}");
            let image = Published::of(&layout, manifest);
            assert_eq!(image.config["architecture"], architecture, "{engine}");
            assert_eq!(image.file("made"), text(architecture), "{engine}");
        }
        let log = project.hoist(&["log", "web:test"]).stdout;
        for architecture in ["amd64", "arm64"] {
            assert!(log.contains(text(architecture).trim_end()), "{engine}: {log}");
        }
    }
}
