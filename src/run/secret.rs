//! Which values a run may not show.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Release, Secret};
use crate::facts::Facts;
use crate::plan::{Action, Deployment, Plan};
use crate::run::mask::Secrets;
use crate::run::{Forecast, Reason, Request, Verdict};
use crate::store::{read_secret_file, secret_file};

/// Variables that let one in where pull requests are.
const TOKENS: [&str; 3] = ["GITHUB_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN"];

/// What steps may not show: what is passed to them, what `dotenv` files say, and
/// passwords and keys of registries, images, and builders.
pub(super) fn secrets(request: &Request) -> Secrets {
    let Request { plan, release, facts, settled, root, .. } = request;
    secrets_of(root, release, facts, plan, &settled.passed)
}

/// What steps may not show is hidden in what is said of a plan that is only looked at: what
/// a step made or reads may be named after a secret.
#[must_use]
pub fn hidden(
    forecasts: Vec<Forecast>,
    root: &Path,
    release: &Release,
    facts: &Facts,
    plan: &Plan,
) -> Vec<Forecast> {
    let secrets = Arc::new(secrets_of(root, release, facts, plan, &[]));
    let hide = |text: &str| secrets.hide(text);
    let all = |reasons: Vec<Reason>| {
        let hidden = |reason: Reason| Reason { text: hide(&reason.text), ..reason };
        reasons.into_iter().map(hidden).collect()
    };
    let hidden = |forecast: Forecast| Forecast {
        verdict: match forecast.verdict {
            Verdict::WouldRestore(reasons) => Verdict::WouldRestore(all(reasons)),
            Verdict::WouldRun(reasons) => Verdict::WouldRun(all(reasons)),
            verdict => verdict,
        },
        ..forecast
    };
    forecasts.into_iter().map(hidden).collect()
}

/// `settled` names what is passed to steps that are not part of the plan.
fn secrets_of(root: &Path, release: &Release, facts: &Facts, plan: &Plan, settled: &[String]) -> Secrets {
    let tokens = TOKENS.map(|name| Secret::Env(name.to_owned()));
    let passed = plan.steps.iter().flat_map(|step| match &step.action {
        Action::Command(command) => command.variables.pass.as_slice(),
        _ => &[],
    });
    let environment = &facts.environment;
    let (mut in_variables, mut files) = (Vec::new(), Vec::new());
    let asked = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Deploy(deploy) => match &deploy.work {
            Deployment::Gitops(gitops) => gitops.pull_request.as_ref().map(|asked| &asked.at),
            _ => None,
        },
        _ => None,
    });
    let approvals = release.stages.values().filter_map(|stage| stage.approve.as_ref());
    let approvals = approvals.filter_map(|approve| approve.value.pull_request.as_ref());
    let asked: Vec<_> = asked.chain(approvals.map(|merged| &merged.at)).collect();
    let of_forges = asked.iter().filter_map(|asked| Some(&asked.token.as_ref()?.value));
    let tokens = tokens.iter().filter(|_| !asked.is_empty());
    for secret in release.secrets().chain(of_forges).chain(tokens) {
        match secret {
            Secret::Env(name) => in_variables.push(name),
            Secret::File(path) => {
                files.extend(read_secret_file(&secret_file(path, root, environment)));
            }
            // It is run only where it is needed: what it prints is not known here.
            Secret::Command(_) => {}
        }
    }
    let all = release.targets.values().flat_map(|target| &target.pass_env);
    let all = all.map(|name| &name.value).chain(settled);
    let names = passed.chain(all).chain(in_variables).chain(&facts.dotenv);
    let values = names.filter_map(|name| environment.get(name)).map(OsStr::as_encoded_bytes);
    Secrets::new(values.chain(files.iter().map(Vec::as_slice)))
}
