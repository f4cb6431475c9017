//! What a test runs in an image.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::config::{Expect, HttpAnswer, Template};
use crate::engine::account::Account;
use crate::engine::{Container, Request};
use crate::oci::{ContainerConfig, FileTree, NodeKind};
use crate::plan::TestPlan;

/// Where programs are looked for in an image that does not say it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Most bytes of a file of users or groups.
const MAX_TEXT: u64 = 1 << 20;

/// The container of a test.
///
/// # Errors
/// Why the image cannot run it, in a sentence.
pub(super) fn container(
    test: &TestPlan,
    config: &ContainerConfig,
    tree: &FileTree,
    rootfs: &Path,
) -> Result<Container, String> {
    let args = arguments(test, config);
    let read = |path: &str| text(tree, rootfs, path);
    let user = test.user.as_deref().or(config.user.as_deref()).unwrap_or_default();
    let account = Account::find(user, &read("etc/passwd"), &read("etc/group"))?;
    let env = variables(test, config, account.home.as_deref());
    let cwd = config.working_dir.as_deref().filter(|cwd| cwd.starts_with('/')).unwrap_or("/");
    let name = args.first().ok_or("the image has no command, and the test names none")?;
    let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(PATH);
    let program = program(name, cwd, path, tree)?;
    Ok(Container {
        program,
        args,
        env,
        cwd: cwd.to_owned(),
        uid: account.uid,
        gid: account.gid,
        groups: account.groups,
        hostname: "hoist".to_owned(),
        base: None,
        scratch: None,
        requests: test.expects.iter().filter_map(|expect| request(&expect.what)).collect(),
        stop_signal: config.stop_signal.clone(),
    })
}

/// What is asked of a container for an expectation.
pub(super) fn request(expect: &Expect) -> Option<Request> {
    let Expect::Http(HttpAnswer { port, path, status, body }) = expect else { return None };
    let body = body.as_ref().and_then(Template::literal);
    let path = path.literal().unwrap_or_default();
    Some(Request { port: *port, path, status: *status, body })
}

/// As Docker has it: arguments take the place of `Cmd`, and another entrypoint
/// takes that of `Entrypoint` and of `Cmd`, too.
fn arguments(test: &TestPlan, config: &ContainerConfig) -> Vec<String> {
    let entrypoint = test.entrypoint.as_ref().or(config.entrypoint.as_ref());
    let command = match (&test.run, &test.entrypoint) {
        (run, None) if run.is_empty() => config.cmd.as_ref(),
        (run, _) => Some(run),
    };
    entrypoint.into_iter().chain(command).flatten().cloned().collect()
}

/// The image's variables under the test's own, with those that every process has.
fn variables(test: &TestPlan, config: &ContainerConfig, home: Option<&str>) -> Vec<String> {
    let own = test.env.iter().map(|(name, value)| format!("{name}={value}"));
    let name_of = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut variables: Vec<String> = Vec::new();
    for variable in config.env.iter().cloned().chain(own) {
        variables.retain(|old| name_of(old) != name_of(&variable));
        variables.push(variable);
    }
    let has = |name: &str| variables.iter().any(|variable| name_of(variable) == name);
    let path = (!has("PATH")).then(|| format!("PATH={PATH}"));
    let home = (!has("HOME")).then(|| format!("HOME={}", home.unwrap_or("/")));
    variables.extend(path.into_iter().chain(home));
    variables
}

/// The path of a program, as `execvp` would find it in the image.
fn program(name: &str, cwd: &str, path: &str, tree: &FileTree) -> Result<String, String> {
    let candidates: Vec<String> = match name {
        name if name.starts_with('/') => vec![name.to_owned()],
        name if name.contains('/') => vec![format!("{}/{name}", cwd.trim_end_matches('/'))],
        name => {
            path.split(':').map(|directory| format!("{}/{name}", directory.trim_end_matches('/'))).collect()
        }
    };
    let is_file = |path: &&String| {
        let found = tree.resolve(path.as_bytes());
        found.is_some_and(|found| tree.get(&found).is_some_and(|node| node.kind == NodeKind::File))
    };
    candidates.iter().find(is_file).cloned().ok_or_else(|| {
        let looked = if name.contains('/') { String::new() } else { format!(" (looked in {path})") };
        format!("the image has no program `{name}`{looked}")
    })
}

/// A text file of the image; empty if there is none of a reasonable size.
fn text(tree: &FileTree, rootfs: &Path, path: &str) -> String {
    let found = tree.resolve(path.as_bytes());
    let is_small = |path: &Vec<u8>| {
        tree.get(path).is_some_and(|node| node.kind == NodeKind::File && node.size < MAX_TEXT)
    };
    let Some(found) = found.filter(is_small) else { return String::new() };
    // A link would lead to a file of this machine: the tree has followed those of the image.
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file =
        OpenOptions::new().read(true).custom_flags(no_follow).open(rootfs.join(OsStr::from_bytes(&found)));
    let mut bytes = Vec::new();
    if file.and_then(|file| file.take(MAX_TEXT).read_to_end(&mut bytes)).is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use indexmap::IndexMap;

    use super::*;
    use crate::diagnostic::{Sources, Span};

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn plan(run: &[&str], entrypoint: Option<&[&str]>) -> TestPlan {
        TestPlan {
            name: "t".to_owned(),
            env: IndexMap::from([("B".to_owned(), "3".to_owned())]),
            run: strings(run),
            entrypoint: entrypoint.map(strings),
            user: None,
            expects: Vec::new(),
            timeout: Duration::from_secs(1),
            span: Span::new(Sources::new().add("x", ""), 0..0),
        }
    }

    fn config() -> ContainerConfig {
        ContainerConfig {
            entrypoint: Some(strings(&["tool"])),
            cmd: Some(strings(&["--help"])),
            env: strings(&["PATH=/opt/bin:/bin", "A=1", "B=2"]),
            working_dir: Some("/srv".to_owned()),
            ..ContainerConfig::default()
        }
    }

    fn tree() -> FileTree {
        let mut tree = FileTree::default();
        tree.insert(b"usr/bin/tool", NodeKind::File, 1);
        tree.insert(b"bin", NodeKind::Symlink(b"/usr/bin".to_vec()), 0);
        tree.insert(b"srv/run", NodeKind::File, 1);
        tree
    }

    #[test]
    fn arguments_and_entrypoints_replace_those_of_the_image() {
        let with = |run: &[&str], entrypoint: Option<&[&str]>| arguments(&plan(run, entrypoint), &config());
        assert_eq!(with(&[], None), ["tool", "--help"]);
        assert_eq!(with(&["x"], None), ["tool", "x"]);
        assert_eq!(with(&[], Some(&["sh"])), ["sh"]);
        assert_eq!(with(&["x"], Some(&["sh", "-c"])), ["sh", "-c", "x"]);
    }

    #[test]
    fn a_container_is_made_from_the_image_and_the_test() {
        let found = container(&plan(&["x"], None), &config(), &tree(), Path::new("/nonexistent"));
        let expected = Container {
            program: "/bin/tool".to_owned(),
            args: strings(&["tool", "x"]),
            env: strings(&["PATH=/opt/bin:/bin", "A=1", "B=3", "HOME=/"]),
            cwd: "/srv".to_owned(),
            uid: 0,
            gid: 0,
            groups: vec![],
            hostname: "hoist".to_owned(),
            base: None,
            scratch: None,
            requests: Vec::new(),
            stop_signal: None,
        };
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_before_anything_runs() {
        let find = |entrypoint: &[&str]| {
            let test = plan(&[], Some(entrypoint));
            container(&test, &config(), &tree(), Path::new("/nonexistent")).map(|found| found.program)
        };
        assert_eq!(find(&["./run"]), Ok("/srv/./run".to_owned()));
        assert_eq!(
            find(&["nginx"]),
            Err("the image has no program `nginx` (looked in /opt/bin:/bin)".to_owned())
        );
        assert_eq!(find(&["/bin/x"]), Err("the image has no program `/bin/x`".to_owned()));
        assert_eq!(find(&[]), Err("the image has no command, and the test names none".to_owned()));
    }
}
