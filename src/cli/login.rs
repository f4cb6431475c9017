//! `hoist login` and `hoist logout`: who one is at a registry.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::arguments::{Login, Logout};
use crate::cli::place::{Places, until_signalled};
use crate::cli::session::Session;
use crate::config::Secret;
use crate::diagnostic::{Code, Problem, Problems};
use crate::oci::{InvalidReference, RepositoryName};
use crate::plan::{RegistryPlace, RegistryPlan, declared_registries};
use crate::release::Publisher;
use crate::report::{Look, Paint, Table, status};
use crate::store::{Account, Kept, Password, Who, forget, keep};

/// The longest password that is read, in bytes.
const MAX_PASSWORD: u64 = 64 << 10;

pub(crate) fn login(session: &mut Session, options: &Login) -> Result<ExitCode, Problems> {
    let places = Places::read(session)?;
    let Some(host) = &options.host else { return show(session, &places) };
    let name = host_of(host)?;
    let registry = places.registry(&name);
    let access = places.publisher(session).access(&RegistryPlan { login: None, ..registry.clone() })?;
    let username = match &options.username {
        Some(username) => username.clone(),
        None => typed(session, "Username: ", false)?,
    };
    let password = if options.password_stdin { piped()? } else { typed(session, "Password: ", true)? };
    if username.is_empty() || password.is_empty() || username.contains(':') {
        let title = if password.is_empty() { "the password is empty" } else { "that is no name of a user" };
        return Err(Problem::new(Code::CommandLine, title).into());
    }
    let password = Password::new(password);
    let publisher = places.publisher(session);
    let environment = places.environment(session);
    let work = async {
        let asked = publisher.network().verify(&name, &access, &username, &password).await;
        let asked = asked.map_err(|problem| retyped(problem, name.host(), registry.login.is_some()))?;
        let kept = keep(name.host(), &username, &password, &environment).await?;
        Ok::<_, Problem>((asked, kept))
    };
    let (asked, kept) = until_signalled(work, "nothing was kept")?;
    let place = match &kept {
        Kept::Helper(program) => program.clone(),
        Kept::File { path, .. } => path.display().to_string(),
    };
    if session.global.json {
        let narrower: &[String] = match &kept {
            Kept::Helper(_) => &[],
            Kept::File { narrower, .. } => narrower,
        };
        let value = json!({
            "host": name.host(), "username": username, "kept": place, "narrower": narrower,
            "encrypted": matches!(kept, Kept::Helper(_)), "verified": asked,
        });
        session.output(&format!("{value}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    session.say(&format!("logged in to {} as {username}; kept in {place}\n", name.host()));
    let warn = session.status_look().paint(Paint::Warn, "warning:");
    if !asked {
        session.say(&format!(
            "{warn} the registry did not ask for credentials: they are not known to be right\n"
        ));
    }
    if let Kept::File { path, narrower } = &kept {
        session.say(&format!(
            "{warn} the password lies there unencrypted; a credential helper keeps it better \
             (`credsStore` in that file)\n"
        ));
        if is_readable_for_others(path) {
            session.say(&format!("{warn} others may read that file: `chmod go= {}`\n", path.display()));
        }
        for path in narrower {
            session.say(&format!(
                "{warn} for what is below {path} the file has another login, which is used instead\n"
            ));
        }
    }
    if registry.login.is_some() {
        session.say(&format!("{warn} release.kdl has a `login` for this registry, which is used instead\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What to do where the registry does not accept what was typed: typing it again, and not
/// what helps where something that is kept is wrong.
fn retyped(problem: Problem, host: &str, has_login: bool) -> Problem {
    if problem.code != Code::Unauthorized {
        return problem;
    }
    let help = format!("nothing was kept: run `hoist login {host}` again with the right user and password");
    let problem = problem.help(help);
    if has_login {
        return problem
            .note("release.kdl has a `login` for this registry, which is used instead of what is kept");
    }
    problem
}

/// Whether a file can be read by others than its owner.
fn is_readable_for_others(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

pub(crate) fn logout(session: &mut Session, options: &Logout) -> Result<ExitCode, Problems> {
    let name = host_of(&options.host)?;
    // A release file that is wrong keeps nobody from leaving.
    let environment = match Places::read(session) {
        Ok(places) => places.environment(session),
        Err(_) => session.host.environment.clone(),
    };
    let forgotten = until_signalled(forget(name.host(), &environment), "stopped")?;
    if session.global.json {
        session.output(&format!("{}\n", json!({ "host": name.host(), "forgotten": forgotten })))?;
    } else if forgotten.is_empty() {
        session.say(&format!("nothing was kept for {}\n", name.host()));
    } else {
        session.say(&format!("forgotten for {}: {}\n", name.host(), forgotten.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// A host, as the name of some repository there. `https://` and a `/` at the end are
/// what people paste.
fn host_of(text: &str) -> Result<RepositoryName, Problem> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = host.trim_end_matches('/');
    let host =
        if host == "index.docker.io/v1" || host == "registry-1.docker.io" { "docker.io" } else { host };
    let invalid = |note: String| {
        Problem::new(Code::InvalidReference, format!("`{text}` is not the host of a registry"))
            .note(note)
            .help("such as `ghcr.io`, `registry.example.com:5000`, or `docker.io` for Docker Hub")
    };
    let name: RepositoryName =
        format!("{host}/x/x").parse().map_err(|why: InvalidReference| invalid(why.to_string()))?;
    if name.path() != "x/x" {
        return Err(invalid("one logs in to a host, not to a repository".to_owned()));
    }
    Ok(name)
}

/// What is typed on the terminal, shown or not.
fn typed(session: &Session, prompt: &str, hidden: bool) -> Result<String, Problem> {
    let unasked = |why: &str| {
        Problem::new(Code::NotConfirmed, "nobody can be asked for the credentials").note(why.to_owned()).help(
            "`hoist login HOST --username USER --password-stdin` reads the password from standard input",
        )
    };
    if !session.host.input_is_terminal || session.global.json {
        return Err(unasked("standard input is not a terminal, or `--json` is given"));
    }
    status(prompt);
    let terminal = console::Term::stderr();
    let read = if hidden { terminal.read_secure_line() } else { terminal.read_line() };
    Ok(read.map_err(|error| unasked(&error.to_string()))?.trim_end_matches(['\r', '\n']).to_owned())
}

/// All of standard input, without the line break at its end.
fn piped() -> Result<String, Problem> {
    let unreadable = |note: String| {
        Problem::new(Code::CommandLine, "no password can be read from standard input").note(note)
    };
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_PASSWORD + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > MAX_PASSWORD {
        return Err(unreadable(format!("it has more than {MAX_PASSWORD} bytes")));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Who one is at each registry of the release file.
fn show(session: &Session, places: &Places) -> Result<ExitCode, Problems> {
    let Some((loaded, facts)) = &places.known else {
        let problem = Problem::new(Code::NoReleaseFile, "there is no release.kdl that names registries");
        return Err(problem.help("`hoist login HOST` logs in to one").into());
    };
    let publisher = places.publisher(session);
    let work = async {
        let mut rows = Vec::new();
        for (name, registry) in declared_registries(&loaded.release, facts) {
            rows.push((name, seen(&publisher, registry).await));
        }
        Ok::<_, Problem>(rows)
    };
    let rows = until_signalled(work, "stopped")?;
    if session.global.json {
        for (name, (place, seen)) in &rows {
            let (who, why) = (seen.who.as_deref(), &seen.why);
            let value =
                json!({ "registry": name, "place": place, "user": who, "source": seen.source, "notes": why });
            session.output(&format!("{value}\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let look = session.output_look();
    let mut table = Table::new();
    table.head(["registry", "place", "user", "from"]);
    for (name, (place, seen)) in rows {
        let from = seen.source.into_iter().chain(seen.why).collect::<Vec<_>>().join("; ");
        table.row([
            (Some(Paint::Name), name),
            (None, place),
            (None, seen.who.unwrap_or_else(|| "-".to_owned())),
            (Some(Paint::Faint), from),
        ]);
    }
    let width = if session.host.output_is_terminal { look.width } else { usize::MAX };
    session.output(&table.render_whole(Look { width, ..look }, 0))?;
    Ok(ExitCode::SUCCESS)
}

/// Who one is somewhere, in words; never a secret.
pub(crate) struct Seen {
    /// The user; `None` for nobody.
    pub(crate) who: Option<String>,
    /// Where the credentials come from.
    pub(crate) source: Option<String>,
    /// What is wrong.
    pub(crate) why: Vec<String>,
}

/// The place of a registry, and who one is there.
async fn seen(publisher: &Publisher, registry: Result<RegistryPlan, Problem>) -> (String, Seen) {
    let nobody = |why: String| Seen { who: None, source: None, why: vec![why] };
    match registry {
        Err(problem) => ("-".to_owned(), nobody(problem.title)),
        Ok(registry) => match &registry.place {
            RegistryPlace::Layout(path) => {
                let source = Some("a directory, which needs no credentials".to_owned());
                (format!("oci:{path}"), Seen { who: None, source, why: Vec::new() })
            }
            RegistryPlace::Remote(place) => (place.clone(), who(publisher, &registry, place).await),
        },
    }
}

/// Who one is at a place of the network: `host[:port][/path]`.
pub(crate) async fn who(publisher: &Publisher, registry: &RegistryPlan, place: &str) -> Seen {
    let nobody = |why: String| Seen { who: None, source: None, why: vec![why] };
    let name: RepositoryName = match format!("{place}/x").parse() {
        Ok(name) => name,
        Err(why) => return nobody(format!("`{place}`: {why}")),
    };
    let account = match publisher.access(registry) {
        Ok(access) => publisher.network().account(&name, &access).await,
        Err(problem) => Err(problem),
    };
    match account {
        Ok(Account { who, source, notes }) => {
            let source = match &registry.login {
                Some(login) => Some(format!("`login` in release.kdl, {}", secret(&login.password.value))),
                None => source.or_else(|| Some("anonymous: nothing is kept for it".to_owned())),
            };
            let who = match who {
                Who::Anonymous => None,
                Who::User(name) => Some(name),
                Who::Token => Some("(token)".to_owned()),
            };
            Seen { who, source, why: notes }
        }
        Err(problem) => nobody(problem.title),
    }
}

/// Where a secret is, in the words of the release file; never its value.
fn secret(secret: &Secret) -> String {
    match secret {
        Secret::Env(name) => format!("env:{name}"),
        Secret::File(path) => format!("file:{path}"),
        // Its words could hold what nobody shall read.
        Secret::Command(_) => "command:…".to_owned(),
    }
}
