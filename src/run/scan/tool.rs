//! How scanners are started, and how they end.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use tokio::sync::watch;

use crate::config::ScanFormat;
use crate::diagnostic::{Code, Problem, Problems};
use crate::inspect::{scanner_source, scanner_version};
use crate::oci::Digest;
use crate::plan::{Action, CommandStep, Exec, ScanStep, Step};
use crate::run::Request;
use crate::run::command::Unsuccessful;
use crate::run::process::{Exit, Halt};
use crate::run::program::Programs;
use crate::run::scan::place::Place;
use crate::run::teller::Teller;
use crate::run::worker::Worker;

/// Whether the scanner reads an archive.
pub(super) fn wants_archive(scan: &ScanStep) -> bool {
    let commands = &scan.command.commands;
    let named = |exec: &Exec| exec.argv.iter().any(|word| word.contains("HOIST_ARCHIVE"));
    if commands.is_empty() { scan.scan.format == ScanFormat::Snyk } else { commands.iter().any(named) }
}

/// Program and arguments of a scanner that hoist knows, and the statuses by which it says
/// that it came to the end of its work. Severities are left to hoist, whatever the
/// scanner's own settings are.
fn known(format: ScanFormat, place: &Place) -> (Vec<String>, &'static [i32]) {
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let (layout, archive, report) = (path(place.layout()), path(place.archive()), path(place.report()));
    let (oci_dir, oci_archive) = (format!("oci-dir:{layout}"), format!("oci-archive:{archive}"));
    let json_file = format!("--json-file-output={report}");
    let severities = "UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL";
    let (argv, accepted): (&[&str], &[i32]) = match format {
        ScanFormat::Trivy => (
            &[
                "trivy",
                "image",
                "--input",
                &layout,
                "--format",
                "json",
                "--output",
                &report,
                "--severity",
                severities,
                "--exit-code",
                "0",
                "--no-progress",
            ],
            &[0],
        ),
        // 2 where its own settings say `fail-on-severity`.
        ScanFormat::Grype => (&["grype", &oci_dir, "--output", "json", "--file", &report], &[0, 2]),
        // 1 says that there are findings; 2 that it failed, 3 that there is nothing to scan.
        ScanFormat::Snyk | ScanFormat::Sarif => {
            (&["snyk", "container", "test", &oci_archive, &json_file], &[0, 1])
        }
    };
    (argv.iter().map(|word| (*word).to_owned()).collect(), accepted)
}

/// Makes sure that the scanners are installed that hoist starts by itself, before anything
/// is built that they are to look at. What `PATH` finds in the project may be made by then.
///
/// # Errors
/// Each that is not ([`Code::NoScanner`]).
pub(in crate::run) fn check_scanners(request: &Request) -> Result<(), Problems> {
    let (environment, root) = (&request.facts.environment, &request.root);
    let path = environment.get("PATH");
    let made = |directory: PathBuf| directory.is_relative() || directory.starts_with(root);
    if path.is_some_and(|path| std::env::split_paths(path).any(made)) {
        return Ok(());
    }
    let programs = Programs::default();
    let mut problems = Problems::new();
    for step in &request.plan.steps {
        let Action::Scan(scan) = &step.action else { continue };
        let program = scan.scan.scanner.value.as_str();
        if scan.command.commands.is_empty() && programs.find(program, path, root, root).is_none() {
            let title = format!("there is no `{program}`, which is to scan `{}`", scan.name);
            let problem = Problem::new(Code::NoScanner, title).label(scan.scan.span, "started by this");
            problems.push(problem.help(remedy(scan)).note("it was looked for in PATH; nothing was built"));
        }
    }
    problems.or(())
}

/// How a scanner is had.
pub(super) fn remedy(scan: &ScanStep) -> &'static str {
    if !scan.command.commands.is_empty() {
        return "`run` has to write what `format` names to `$HOIST_REPORT`, and to end with 0";
    }
    scanner_source(scan.scan.format)
}

/// A problem with the scanner of a step.
pub(super) fn problem(scan: &ScanStep, title: String, label: impl Into<String>) -> Problem {
    Problem::new(Code::ScannerFailed, title).label(scan.scan.span, label)
}

impl Worker {
    /// Starts the scanner of a step for one platform, and waits for its report.
    ///
    /// # Errors
    /// It cannot be started, fails, or writes none; or the step was asked to stop.
    pub(super) async fn start(
        &self,
        step: &Step,
        scan: &ScanStep,
        (place, platform, digest): (&Place, &str, &Digest),
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<Vec<u8>, Unsuccessful> {
        let mut command = scan.command.clone();
        let mut accepted: &[i32] = &[0];
        if command.commands.is_empty() {
            let (argv, statuses) = known(scan.scan.format, place);
            command.commands = vec![Exec { argv, span: scan.scan.span }];
            accepted = statuses;
        }
        let paths = [
            ("HOIST_LAYOUT", place.layout()),
            ("HOIST_ARCHIVE", place.archive()),
            ("HOIST_REPORT", place.report()),
        ];
        let paths = paths.map(|(name, path)| (name, path.to_string_lossy().into_owned()));
        let about = [("HOIST_PLATFORM", platform.to_owned()), ("HOIST_DIGEST", digest.to_string())];
        let set = paths.into_iter().chain(about).map(|(name, value)| (name.to_owned(), value));
        command.variables.set.extend(set);
        for exec in &command.commands {
            let exit = self.commands().once(&step.id.to_string(), &command, exec, halt, teller).await;
            if let Some(problem) = ended(scan, exec, &command, exit, accepted)? {
                let problem = match teller.tail() {
                    Some(tail) => problem.note(tail),
                    None => problem,
                };
                return Err(Unsuccessful::failed(problem));
            }
        }
        place.read().map_err(|why| {
            let title = format!("`{}` did not report what it found", scan.scan.scanner.value);
            Unsuccessful::failed(problem(scan, title, why).help(remedy(scan)))
        })
    }

    /// The version of a scanner that hoist knows, and when its database was made. Nothing
    /// depends on it: what is not known is left out.
    pub(super) async fn version(
        &self,
        step: &Step,
        scan: &ScanStep,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> (Option<String>, Option<String>) {
        let Ok(file) = tempfile::NamedTempFile::new() else { return (None, None) };
        let name = scan.scan.scanner.value.clone();
        let script = "exec \"$0\" --version > \"$1\" 2> /dev/null".to_owned();
        let path = file.path().to_string_lossy().into_owned();
        let exec = Exec { argv: vec!["sh".to_owned(), "-c".to_owned(), script, name, path], span: step.span };
        let said = self.commands().once(&step.id.to_string(), &scan.command, &exec, halt, teller).await;
        match said {
            Ok(Exit::Status(status)) if status.success() => {
                let printed = fs::read(file.path()).unwrap_or_default();
                scanner_version(scan.scan.format, &String::from_utf8_lossy(&printed))
            }
            _ => (None, None),
        }
    }
}

/// What is wrong with how a command of a scan ended, if something is.
fn ended(
    scan: &ScanStep,
    exec: &Exec,
    command: &CommandStep,
    exit: io::Result<Exit>,
    accepted: &[i32],
) -> Result<Option<Problem>, Unsuccessful> {
    let name = scan.scan.scanner.value.as_str();
    let program = exec.argv.first().map(String::as_str).unwrap_or_default();
    let failed = |text: String| {
        let title = format!("`{name}` did not scan `{}`", scan.name);
        Problem::new(Code::ScannerFailed, title).label(exec.span, text).help(remedy(scan))
    };
    let what = match exit {
        Ok(Exit::Halted) => return Err(Unsuccessful::Halted),
        Ok(Exit::Status(status)) if status.code().is_some_and(|code| accepted.contains(&code)) => {
            return Ok(None);
        }
        Ok(Exit::Status(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with status {code}"),
            (None, Some(signal)) => format!("it was ended by signal {signal}"),
            (None, None) => "it ended for an unknown reason".to_owned(),
        },
        Ok(Exit::TimedOut) => {
            let after = command.timeout.unwrap_or_default();
            format!("it still ran after {after:?}, and was stopped")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no program `{program}` in PATH")
        }
        Err(error) => format!("`{program}` cannot be started: {error}"),
    };
    Ok(Some(failed(what)))
}
