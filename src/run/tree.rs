//! All that a step started: its process group, and what left the group.
//!
//! hoist adopts what its steps orphan (it is a subreaper, on Linux), so that a
//! process stays below hoist whatever it does. To which step an orphan belongs is
//! told by a variable that every command of a step gets, and by what was seen of the step
//! before. One that clears its environment and is orphaned before anybody looks belongs
//! to none: it may as well be one of hoist's own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, kill_process_group, test_kill_process_group, waitpid,
};

use crate::facts::Pipes;

/// The variable that names run and step to all that the step starts.
pub(super) const VARIABLE: &str = "HOIST_STEP";

/// A text that no other run has.
pub(super) fn new_mark() -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    format!("{}.{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed))
}

/// Makes hoist the parent of what its steps orphan. Where the system knows no such
/// thing, only the process groups of steps are reached.
pub(super) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _not_known = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// What still runs of a step whose hoist is gone, and has this file open: its command
/// line and its group.
pub(super) fn left_running(step: &str, file: &Path) -> Option<(String, i32)> {
    let file = fs::metadata(file).ok()?;
    let is_same = |open: fs::Metadata| (open.dev(), open.ino()) == (file.dev(), file.ino());
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).find_map(|id| {
        let variables = variables(id);
        let mark = variables.split(|byte| *byte == 0).find_map(|it| it.strip_prefix(VARIABLE.as_bytes()))?;
        let (run, its_step) = str::from_utf8(mark.strip_prefix(b"=")?).ok()?.split_once('/')?;
        let hoist = run.split_once('.')?.0.parse().ok()?;
        if its_step != step || Member::running(hoist).is_some() {
            return None;
        }
        let member = Member::running(id)?;
        let mut open = fs::read_dir(member.directory().join("fd")).ok()?.flatten();
        let holds = open.any(|open| fs::metadata(open.path()).is_ok_and(is_same));
        holds.then(|| (member.name(), member.group))
    })
}

/// The environment that a process was started with.
fn variables(id: i32) -> Vec<u8> {
    fs::read(format!("/proc/{id}/environ")).unwrap_or_default()
}

/// The processes of a step.
#[derive(Debug)]
pub(super) struct Tree {
    /// The process that hoist started, as long as it was not waited for.
    leader: Option<i32>,
    /// The group that it leads, unless it shares hoist's.
    group: Option<Pid>,
    /// The variable as it stands in an environment.
    mark: Vec<u8>,
    /// Orphans that were sent a signal: nobody else waits for them.
    orphans: BTreeSet<i32>,
    /// Those that were seen, by their numbers and when they started.
    seen: BTreeSet<(i32, u64)>,
}

/// A process that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    id: i32,
    group: i32,
    /// When it started, in ticks since the system did: two of one number differ in that.
    start: u64,
}

impl Tree {
    /// What this process starts, for this step.
    pub(super) fn new(leader: Option<u32>, leads_group: bool, step: &str) -> Self {
        let leader = leader.and_then(|id| i32::try_from(id).ok());
        let group = leader.filter(|_| leads_group).and_then(Pid::from_raw);
        let mark = [VARIABLE.as_bytes(), b"=", step.as_bytes()].concat();
        Self { leader, group, mark, orphans: BTreeSet::new(), seen: BTreeSet::new() }
    }

    /// The process that was started is over, and its number may be another's.
    pub(super) const fn leader_ended(&mut self) {
        self.leader = None;
    }

    /// Sends a signal to all that runs, once each.
    pub(super) fn signal(&mut self, signal: Signal) {
        let members = self.members();
        if let Some(group) = self.group {
            let _ended = kill_process_group(group, signal);
        }
        let own = self.group.map(Pid::as_raw_pid);
        for member in members.iter().filter(|member| Some(member.group) != own) {
            self.send(*member, signal);
        }
        if let (None, Some(leader)) = (self.group, self.leader.and_then(Pid::from_raw)) {
            let _ended = kill_process(leader, signal);
        }
    }

    /// Sends a signal to one that runs.
    pub(super) fn send(&self, member: Member, signal: Signal) {
        if let Some(id) = Pid::from_raw(member.id).filter(|_| Some(member.id) != self.leader) {
            let _ended = kill_process(id, signal);
        }
    }

    /// Whether nothing of it runs any more.
    pub(super) fn is_gone(&mut self) -> bool {
        let members = self.members();
        for orphan in std::mem::take(&mut self.orphans) {
            let runs = members.iter().any(|member| member.id == orphan);
            let waited = Pid::from_raw(orphan).map(|id| waitpid(Some(id), WaitOptions::NOHANG));
            if runs || matches!(waited, Some(Ok(None))) {
                self.orphans.insert(orphan);
            }
        }
        // A zombie that nobody waits for keeps its group.
        let group_ended = || self.group.is_none_or(|group| test_kill_process_group(group).is_err());
        members.is_empty() && (cfg!(target_os = "linux") || group_ended())
    }

    /// Those that run and have one of these pipes open.
    pub(super) fn holders(&mut self, pipes: &[u64]) -> Vec<Member> {
        let (pipes, mut members) = (Pipes::new(pipes), self.members());
        members.retain(|member| pipes.are_held_by(member.id));
        members
    }

    /// All that runs: what descends from the process that was started, and orphans
    /// with what descends from them.
    fn members(&mut self) -> Vec<Member> {
        let mut waiting: Vec<i32> = self.leader.into_iter().collect();
        let orphans = children(Path::new("/proc/self"));
        let orphans = orphans.into_iter().filter(|id| Some(*id) != self.leader && self.has(*id));
        let orphans: Vec<i32> = orphans.collect();
        self.orphans.extend(&orphans);
        waiting.extend(orphans);
        let mut members = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            let Some(member) = Member::running(id) else { continue };
            if members.insert(member) {
                waiting.extend(children(&member.directory()));
            }
        }
        // Who is orphaned from now on may say nothing of the step in its environment.
        self.seen.extend(members.iter().map(|member| (member.id, member.start)));
        members.into_iter().collect()
    }

    /// Whether an orphan belongs to the step.
    fn has(&self, id: i32) -> bool {
        let known = || Member::running(id).is_some_and(|it| self.seen.contains(&(id, it.start)));
        self.is_marked(id) || known()
    }

    fn is_marked(&self, id: i32) -> bool {
        variables(id).split(|byte| *byte == 0).any(|variable| variable == self.mark)
    }
}

impl Member {
    /// A process, unless it is over.
    fn running(id: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // A name may hold anything, and stands in parentheses.
        let mut fields = status.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let start = fields.nth(16)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { id, group, start })
    }

    fn directory(self) -> PathBuf {
        format!("/proc/{}", self.id).into()
    }

    /// Its command line, as far as it is worth reading.
    pub(super) fn name(self) -> String {
        let line = fs::read(self.directory().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let line = line.trim_end();
        match line.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line.to_owned(),
        }
    }
}

/// The children of a process, of all its threads.
fn children(process: &Path) -> Vec<i32> {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect()
}
