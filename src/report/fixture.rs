//! Runs that never were, told event by event.

use jiff::{SignedDuration, Timestamp};

use crate::run::{
    AllowanceFigures, Bound, BudgetFigures, Counts, Event, FORMAT, Fault, FindingFigures, Happening,
    ImageBefore, ImageFigures, LayerFigures, Outcome, Output, Place, PlannedStep, Reused, RunEnded,
    RunStarted, ScanFigures, SeverityCounts, StepEnded, Stream, Trigger, Unit,
};

/// Events, and the time at which the next one happens.
pub(super) struct Script {
    pub(super) events: Vec<Event>,
    now: Timestamp,
}

/// A failure at line 3 of a release.kdl.
pub(super) fn failed(title: &str) -> Outcome {
    let label = Place {
        file: "release.kdl".into(),
        line: 3,
        column: 5,
        end_line: 4,
        end_column: 2,
        start: 20,
        end: 40,
        text: "exit status 1".into(),
    };
    let fault = Fault {
        code: "hoist::run::command_failed".into(),
        title: title.to_owned(),
        labels: vec![label],
        help: Some("mend it".into()),
        notes: Vec::new(),
    };
    Outcome::Failed { problems: vec![fault] }
}

/// An image of two layers that is over its budget, and larger than the one before.
pub(super) fn figures() -> ImageFigures {
    let digest = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
    let layer = |digit: char, transferred: u64, size: u64| LayerFigures {
        digest: digest(digit),
        transferred,
        size: Some(size),
        created_by: Some("COPY . /srv".to_owned()),
    };
    ImageFigures {
        image: "web".to_owned(),
        platform: "linux/amd64".to_owned(),
        digest: digest('1'),
        transferred: 9_000_000,
        size: Some(24_000_000),
        wasted: Some(1_000_000),
        layers: vec![layer('2', 6_000_000, 16_000_000), layer('3', 3_000_000, 8_000_000)],
        reused: Some(Reused { unit: Unit::Layer, all: 2, reused: 1 }),
        budget: Some(BudgetFigures {
            size: Some(Bound { used: 24_000_000, most: 30_000_000 }),
            layers: Some(Bound { used: 2, most: 1 }),
            wasted: Some(Bound { used: 1_000_000, most: 1_200_000 }),
        }),
        before: Some(ImageBefore {
            name: "ghcr.io/acme/web:1.2".to_owned(),
            released: Some("2026-11-20T12:00:00Z".to_owned()),
            digest: digest('4'),
            transferred: 8_000_000,
            size: Some(20_000_000),
            layers: 2,
        }),
    }
}

/// A scan that failed of one finding, and allows another.
pub(super) fn scan() -> ScanFigures {
    let finding = |severity: &str, id: &str, package: &str, installed: &str| FindingFigures {
        id: id.to_owned(),
        severity: severity.to_owned(),
        package: package.to_owned(),
        installed: installed.to_owned(),
        fixed: None,
        title: Some(format!("weakness of {package}")),
        platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
        fails: false,
        allowed: None,
    };
    let allowed = AllowanceFigures { until: "2027-01-31".to_owned(), reason: "not reachable".to_owned() };
    ScanFigures {
        image: "web".to_owned(),
        scanner: "trivy".to_owned(),
        version: Some("0.58.1".to_owned()),
        database: Some("2026-11-21 06:00:00 UTC".to_owned()),
        fail_on: "high".to_owned(),
        passed: false,
        platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
        counts: SeverityCounts { high: 1, medium: 1, ..SeverityCounts::default() },
        allowed: 1,
        findings: vec![
            FindingFigures { allowed: Some(allowed), ..finding("critical", "CVE-2024-3", "busybox", "1.36") },
            FindingFigures {
                fixed: Some("1.1.2".to_owned()),
                fails: true,
                ..finding("high", "CVE-2024-1", "openssl", "1.1.1")
            },
            FindingFigures {
                platforms: vec!["linux/arm64".to_owned()],
                ..finding("medium", "CVE-2024-2", "zlib", "1.3")
            },
        ],
        more: 0,
    }
}

impl Script {
    /// A run of these steps, each with what it needs.
    pub(super) fn begin(steps: &[(&str, &[&str])]) -> Self {
        let step = |(name, needs): &(&str, &[&str])| PlannedStep {
            name: (*name).to_owned(),
            kind: "command".to_owned(),
            effect: "cacheable".to_owned(),
            goal: true,
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        };
        let started = RunStarted {
            format: FORMAT,
            run: "20261121T123456.000Z-1f2e3d4c".to_owned(),
            project: "shop".to_owned(),
            hoist: "0.1.0".to_owned(),
            trigger: Trigger { kind: "branch".to_owned(), name: Some("main".to_owned()), commit: None },
            goals: vec!["all".to_owned()],
            jobs: 2,
            unpublished: None,
            part_of: None,
            up_to_date: 0,
            steps: steps.iter().map(step).collect(),
        };
        let mut script = Self { events: Vec::new(), now: "2026-11-21T12:34:56Z".parse().unwrap() };
        script.say(Happening::RunStarted(started));
        script
    }

    /// The next event happens so many milliseconds after the first one.
    pub(super) fn at(&mut self, milliseconds: i64) -> &mut Self {
        self.now = self.events[0].time + SignedDuration::from_millis(milliseconds);
        self
    }

    pub(super) fn say(&mut self, what: Happening) -> &mut Self {
        self.events.push(Event { time: self.now, what });
        self
    }

    /// A step of the run does something else than run commands.
    pub(super) fn kind(&mut self, step: &str, kind: &str) -> &mut Self {
        if let Happening::RunStarted(run) = &mut self.events[0].what {
            let planned = run.steps.iter_mut().filter(|planned| planned.name == step);
            planned.for_each(|planned| kind.clone_into(&mut planned.kind));
        }
        self
    }

    pub(super) fn ready(&mut self, step: &str) -> &mut Self {
        self.say(Happening::StepReady { step: step.to_owned() })
    }

    pub(super) fn started(&mut self, step: &str) -> &mut Self {
        self.say(Happening::StepStarted { step: step.to_owned(), reasons: Vec::new() })
    }

    pub(super) fn line(&mut self, step: &str, text: &str) -> &mut Self {
        let (step, text) = (step.to_owned(), text.to_owned());
        let stream = Stream::Stdout;
        self.say(Happening::Output(Output { step, stream, text, base64: None, open: false, replayed: false }))
    }

    pub(super) fn ended(&mut self, step: &str, outcome: Outcome, milliseconds: u64) -> &mut Self {
        self.measured(step, outcome, milliseconds, Vec::new())
    }

    /// A step ended, and images were measured.
    pub(super) fn measured(
        &mut self,
        step: &str,
        outcome: Outcome,
        milliseconds: u64,
        images: Vec<ImageFigures>,
    ) -> &mut Self {
        self.end(StepEnded { images, ..bare(step, outcome, milliseconds) })
    }

    /// A scan ended.
    pub(super) fn scanned(&mut self, step: &str, outcome: Outcome, scan: ScanFigures) -> &mut Self {
        self.end(StepEnded { scan: Some(Box::new(scan)), ..bare(step, outcome, 1) })
    }

    fn end(&mut self, ended: StepEnded) -> &mut Self {
        self.say(Happening::StepEnded(ended))
    }

    pub(super) fn over(&mut self, counts: Counts, milliseconds: u64) -> &mut Self {
        let exit = u8::from(counts.failed > 0);
        let result = if exit == 0 { "done" } else { "failed" }.to_owned();
        self.say(Happening::RunEnded(RunEnded { counts, milliseconds, result, exit, problems: Vec::new() }))
    }
}

/// The end of a step of which nothing else is known.
fn bare(step: &str, outcome: Outcome, milliseconds: u64) -> StepEnded {
    StepEnded {
        step: step.to_owned(),
        outcome,
        milliseconds,
        digest: None,
        tags: Vec::new(),
        images: Vec::new(),
        scan: None,
        log: None,
    }
}
