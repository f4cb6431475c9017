//! Has an image scanned: each platform by its digest, before anybody sees the image.
#![expect(clippy::disallowed_methods, reason = "a scan says when it was made")]

mod place;
mod tool;

pub(super) use tool::check_scanners;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::diagnostic::{Problem, Problems};
use crate::facts::Host;
use crate::inspect::{View, expired, image, judge_scan, read_report};
use crate::oci::Platform;
use crate::plan::{Action, Plan, ScanStep, Step};
use crate::run::ScanFigures;
use crate::run::command::Unsuccessful;
use crate::run::image::{Known, Yielded, no_image};
use crate::run::line::Written;
use crate::run::process::Halt;
use crate::run::scan::place::Place;
use crate::run::teller::{Teller, Told};
use crate::run::worker::{Worker, blocking};
use crate::run::{FindingFigures, Request, Stream};
use crate::store::Repository;

/// What allows findings in the scans of a plan, and has ended: of that a scan fails, whatever
/// it finds.
#[must_use]
pub fn ended_allowances(plan: &Plan, host: &Host) -> Problems {
    let scans = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Scan(scan) => Some(&scan.scan),
        _ => None,
    });
    let mut problems = Problems::new();
    scans.for_each(|scan| problems.extend(expired(scan, host.today())));
    problems
}

/// Makes sure that no finding is allowed by what has ended.
///
/// # Errors
/// Each allowance that has.
pub(super) fn check_allowances(request: &Request) -> Result<(), Problems> {
    ended_allowances(&request.plan, &request.host).or(())
}

impl Worker {
    /// Has an image scanned. What was found is kept in mind whether the scan fails of it or
    /// not.
    ///
    /// # Errors
    /// An allowance that has ended; a scanner that cannot be started, fails, or reports what
    /// is not understood; findings that are too bad; or the step was asked to stop.
    pub(super) async fn scan(
        &self,
        (step, scan): (&Step, &ScanStep),
        known: &Known,
        halt: &mut watch::Receiver<Halt>,
        teller: &mut Teller,
    ) -> Result<Yielded, Unsuccessful> {
        let descriptor = known.get(&scan.image).ok_or_else(|| no_image(step))?;
        expired(&scan.scan, self.request().host.today()).or(()).map_err(Unsuccessful::Failed)?;
        let built = self.request().cache.images().clone();
        let view = View::default();
        let report = image(&Repository::Layout(built.clone()), descriptor, &view).await;
        let report = report.map_err(Unsuccessful::failed)?;
        let (mut about, mut found, mut platforms) = ((None, None), Vec::new(), Vec::<Platform>::new());
        for platform in &report.platforms {
            let (built, manifest) = (built.clone(), platform.manifest.clone());
            let wants_archive = tool::wants_archive(scan);
            let place = blocking(move || Place::new(&built, &manifest, wants_archive)).await;
            let place = place.map_err(Unsuccessful::failed)?;
            let of = platform.platform.to_string();
            let bytes =
                self.start(step, scan, (&place, &of, &platform.manifest.digest), halt, teller).await?;
            let report = read_report(scan.scan.format, &bytes).map_err(|why| {
                let title = format!("the report of `{}` is not understood", scan.scan.scanner.value);
                let problem = tool::problem(scan, title, "what was found is not known");
                let problem = problem.note(format!("{why}, in what it says of `{of}`"));
                Unsuccessful::failed(problem.help(tool::remedy(scan)))
            })?;
            about = (about.0.or(report.version), about.1.or(report.database));
            found.push((platform.platform.clone(), report.findings));
            platforms.push(platform.platform.clone());
        }
        if scan.command.commands.is_empty() && about.0.is_none() {
            let (version, database) = self.version(step, scan, halt, teller).await;
            about = (version, about.1.or(database));
        }
        let verdict = judge_scan(&scan.scan, found);
        for id in &verdict.stale {
            let text = format!("`allow \"{id}\"` allows nothing that was found: remove it");
            teller.tell(Told::Notice(text)).await;
        }
        let figures = ScanFigures::new(&scan.name, &scan.scan, about, &platforms, &verdict);
        let figures = figures.hidden(self.images().secrets());
        self.write(&figures, teller).await;
        self.images().note_scan(scan, Timestamp::now(), figures);
        verdict
            .problem(&scan.scan, &scan.name)
            .map_or(Ok(Yielded::Nothing), |problem: Problem| Err(Unsuccessful::failed(problem)))
    }

    /// Writes what was found into the log of the step, behind what the scanner wrote.
    async fn write(&self, figures: &ScanFigures, teller: &mut Teller) {
        let mut output = Written::new(Stream::Stdout, Arc::clone(self.images().secrets()));
        for finding in &figures.findings {
            output.space(0).extend_from_slice(line(figures, finding).as_bytes());
            teller.take(&mut output).await;
        }
        if figures.more > 0 {
            let rest = format!("and {} more, none of them worse\n", figures.more);
            output.space(0).extend_from_slice(rest.as_bytes());
        }
        teller.finish(&mut output).await;
    }
}

/// A finding as a line of the log.
fn line(figures: &ScanFigures, finding: &FindingFigures) -> String {
    let FindingFigures { id, severity, package, installed, fixed, title, platforms, allowed, .. } = finding;
    let mut line = format!("{severity:<10} {id}  {package} {installed}").trim_end().to_owned();
    line.extend(fixed.as_ref().map(|fixed| format!(" -> {fixed}")));
    if platforms.len() < figures.platforms.len() {
        line.extend(["  (", &platforms.join(", "), " only)"]);
    }
    line.extend(title.as_ref().map(|title| format!("  {title}")));
    line.extend(allowed.as_ref().map(|one| format!("  [allowed until {}: {}]", one.until, one.reason)));
    line.push('\n');
    line
}
