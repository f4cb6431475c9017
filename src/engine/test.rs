//! Tests of images.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder, Scope};

use crate::config::Expect;
use crate::diagnostic::{Code, Problem, Problems};
use crate::engine::bench::Bench;
use crate::engine::emulation::is_emulated;
use crate::engine::expect::{Subject, check, how};
use crate::engine::image::Image;
use crate::engine::logs::Logs;
use crate::engine::{Container, Ended, Output, Runtime, Stream};
use crate::oci::{Descriptor, FileTree, Platform};
use crate::plan::{TestPlan, TestStep};
use crate::store::Layout;

/// The signal that nothing survives, by the same number on all machines.
const SIGKILL: u8 = 9;
/// Lines of a stream that a problem shows.
const TAIL: usize = 20;

/// The right to do one thing more at a time, until it is dropped.
pub type Right = Box<dyn Send>;
/// Gives a further right, if there is one.
pub type Further<'a> = &'a (dyn Fn() -> Option<Right> + Sync);

/// Runs the tests of an image, each in a container of its own, and checks what is
/// expected of its configuration and files. What the tests write goes to `log`, one after
/// the other, and so do problems, however they ran.
///
/// One test runs at a time, and one more for each right that `further` gives when a test
/// begins; it is asked again whenever another one is to begin.
///
/// The expectations are checked for every platform; the tests run for those that this
/// machine runs, by an emulator or without one, and the log names the others.
///
/// # Errors
/// Every test and expectation that fails, with the end of its output; a machine
/// that cannot run the image; an image that cannot be read.
pub fn test(
    step: &TestStep,
    image: &Descriptor,
    images: &Layout,
    further: Further<'_>,
    log: &mut (dyn Write + Send),
    halt: &AtomicBool,
) -> Result<(), Problems> {
    test_with(&Runtime::current(), step, image, images, further, log, halt)
}

/// As [`test`], with another runtime than this program.
///
/// # Errors
/// As [`test`].
pub fn test_with(
    runtime: &Runtime,
    step: &TestStep,
    image: &Descriptor,
    images: &Layout,
    further: Further<'_>,
    log: &mut (dyn Write + Send),
    halt: &AtomicBool,
) -> Result<(), Problems> {
    let all = Image::all(images, image)?;
    let mut problems = Problems::new();
    for image in &all {
        problems.extend(look(step, image, images, all.len() > 1)?);
    }
    if let Some(first) = step.tests.first() {
        for image in choose(step, &all, log)? {
            if all.len() > 1 {
                let _ = writeln!(log, "{}:", image.config.platform());
            }
            let bench = problems.take(Bench::new(runtime, image, images, halt, first.span));
            let Some(bench) = bench else { continue };
            let ran = run_all(&bench, image, &step.tests, further, log);
            if ran.len() < step.tests.len() {
                return Err(Problem::new(Code::Interrupted, "the tests were stopped").into());
            }
            for result in ran {
                problems.take(result);
            }
        }
    }
    problems.or(())
}

/// Runs tests, as many at once as there are rights, and returns what came of each that
/// ran, in their order.
fn run_all(
    bench: &Bench<'_>,
    image: &Image,
    plans: &[TestPlan],
    further: Further<'_>,
    log: &mut (dyn Write + Send),
) -> Vec<Result<(), Problem>> {
    let logs = Logs::new(log, bench.place().to_owned(), plans.len());
    // All that is wrong with files is found before a container sees them.
    let ready = plans.iter().map(|plan| (plan, bench.container(plan))).collect();
    let turns = Turns { bench, image, ready, next: AtomicUsize::new(0), further, logs };
    let ended = Mutex::default();
    thread::scope(|scope| turns.work(scope, None, &ended));
    let mut ended: Vec<(usize, Result<(), Problem>)> =
        ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    ended.sort_by_key(|(number, _)| *number);
    ended.into_iter().map(|(_, result)| result).collect()
}

/// Tests that are run one after the other by each who has a right to.
struct Turns<'a> {
    bench: &'a Bench<'a>,
    image: &'a Image,
    /// Each test, with what it runs or why it cannot.
    ready: Vec<(&'a TestPlan, Result<Container, String>)>,
    /// The number of the first that was not begun.
    next: AtomicUsize,
    further: Further<'a>,
    logs: Logs<'a>,
}

impl<'a> Turns<'a> {
    /// Runs tests until none is left, or a right that is given for one of them is needed
    /// elsewhere. `right` is `None` for whoever has one all the time.
    fn work<'scope, 'env>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        mut right: Option<Right>,
        ended: &'scope Mutex<Vec<(usize, Result<(), Problem>)>>,
    ) where
        'a: 'scope,
    {
        let is_further = right.is_some();
        while !self.bench.is_halted() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((plan, container)) = self.ready.get(number) else { return };
            if number + 1 < self.ready.len()
                && let Some(further) = (self.further)()
            {
                let work = move || self.work(scope, Some(further), ended);
                // Where the system gives no thread, this one goes on alone.
                let _refused = Builder::new().spawn_scoped(scope, work);
            }
            let mut log = self.logs.of(number);
            let result = match container {
                Ok(container) => run(self.bench, self.image, (number, plan, container), &mut log),
                Err(reason) => Err(failed(plan).label(plan.span, reason)),
            };
            drop(log);
            ended.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
            if is_further {
                // Who waits for it comes first.
                drop(right.take());
                right = (self.further)();
                if right.is_none() {
                    return;
                }
            }
        }
    }
}

/// Checks what is expected of the configuration and files of an image.
fn look(step: &TestStep, image: &Image, images: &Layout, several: bool) -> Result<Vec<Problem>, Problem> {
    let mut tree = FileTree::default();
    if step.expects.iter().any(|expect| matches!(expect.what, Expect::File(_))) {
        image.apply(images, &mut tree)?;
    }
    let subject = Subject { config: &image.config.config, tree: &tree, run: None };
    let platform = image.config.platform();
    let failures = step.expects.iter().filter_map(|expect| {
        let title = if several {
            format!("the image for `{platform}` is not as expected")
        } else {
            "the image is not as expected".to_owned()
        };
        check(&expect.what, &subject)
            .map(|found| Problem::new(Code::TestFailed, title).label(expect.span, found))
    });
    Ok(failures.collect())
}

/// The images that can be run here. The log is told which others are not.
fn choose<'a>(step: &TestStep, images: &'a [Image], log: &mut dyn Write) -> Result<Vec<&'a Image>, Problem> {
    let host = Platform::host();
    let runs = |image: &&Image| {
        let platform = image.config.platform();
        let is_native = platform.os == host.os && platform.architecture == host.architecture;
        is_native || is_emulated(&platform)
    };
    let (chosen, others): (Vec<_>, Vec<_>) = images.iter().partition(runs);
    if chosen.is_empty() {
        let platforms: Vec<String> =
            images.iter().map(|image| format!("`{}`", image.config.platform())).collect();
        let mut problem = Problem::new(Code::NoRuntime, format!("this machine is `{host}` and cannot run the image"))
            .help("run it on such a machine, or register an emulator: `apt-get install qemu-user-static binfmt-support`");
        for test in &step.tests {
            problem = problem.label(test.span, format!("the image is for {}", platforms.join(", ")));
        }
        return Err(problem);
    }
    for image in others {
        let platform = image.config.platform();
        // What cannot be logged is no reason to fail.
        let _ = writeln!(log, "not run for {platform}: this machine is {host}");
    }
    Ok(chosen)
}

fn run(
    bench: &Bench<'_>,
    image: &Image,
    (number, plan, container): (usize, &TestPlan, &Container),
    log: &mut dyn Write,
) -> Result<(), Problem> {
    let _ = writeln!(log, "{}: {}", plan.name, container.args.join(" "));
    let ran = bench.run(number, container, plan, log);
    let (ended, output) = ran.map_err(|problem| problem.label(plan.span, "to run this"))?;
    let config = &image.config.config;
    judge(plan, &Subject { config, tree: &bench.tree, run: Some((ended, &output)) }, ended, &output)
}

/// What is wrong with how a test ended.
fn judge(plan: &TestPlan, subject: &Subject<'_>, ended: Ended, output: &Output) -> Result<(), Problem> {
    let asks = plan.expects.iter().any(|expect| matches!(expect.what, Expect::Http(_)));
    let mut problem = match ended {
        Ended::Stopped => {
            return Err(Problem::new(Code::Interrupted, format!("the test `{}` was stopped", plan.name))
                .label(plan.span, "did not end before"));
        }
        Ended::TimedOut if !asks => {
            let title = format!("the test `{}` did not end in time", plan.name);
            Problem::new(Code::TimedOut, title)
                .label(plan.span, format!("killed after {:?}", plan.timeout))
                .help("give it more time with `timeout`")
        }
        Ended::Exited(_) | Ended::Signalled(_) | Ended::TimedOut => {
            let mut problem = failed(plan);
            let says_exit = plan.expects.iter().any(|expect| matches!(expect.what, Expect::Exit(_)));
            // A server ends when it is stopped, as it likes.
            if !says_exit
                && !asks
                && let Some(found) = check(&Expect::Exit(0), subject)
            {
                problem = problem.label(plan.span, found);
            }
            let mut is_unanswered = false;
            for expect in &plan.expects {
                if let Some(found) = check(&expect.what, subject) {
                    is_unanswered |= matches!(expect.what, Expect::Http(_));
                    problem = problem.label(expect.span, found);
                }
            }
            if problem.labels.is_empty() {
                return Ok(());
            }
            if ended == Ended::Signalled(SIGKILL) {
                problem = problem.help("the kernel kills what needs more memory than there is");
            }
            match (is_unanswered, ended) {
                (false, _) => problem,
                (true, Ended::TimedOut) => problem
                    .label(plan.span, format!("asked for {:?}", plan.timeout))
                    .help("give it more time with `timeout`"),
                (true, ended) => problem
                    .label(plan.span, format!("the command ended before it answered: {}", how(Some(ended)))),
            }
        }
    };
    for (name, stream) in [("stdout", Stream::Stdout), ("stderr", Stream::Stderr)] {
        if let Some(tail) = tail(output.of(stream)) {
            problem = problem.note(format!("{name}:\n{tail}"));
        }
    }
    Err(problem)
}

fn failed(plan: &TestPlan) -> Problem {
    Problem::new(Code::TestFailed, format!("the test `{}` failed", plan.name))
}

/// The last lines of a stream; `None` if it is empty.
fn tail(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let left_out = lines.len().saturating_sub(TAIL);
    let shown = lines.get(left_out..).unwrap_or_default().join("\n");
    match (shown.is_empty(), left_out) {
        (true, _) => None,
        (false, 0) => Some(shown),
        (false, _) => Some(format!("({left_out} lines before)\n{shown}")),
    }
}
