//! Setting tags at registries that can do more than most, or less than they say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::store::fixture::Received;

/// What a stand-in for a registry does beyond setting one tag at a time.
#[derive(Clone, Copy, Default)]
struct Does {
    /// Sets all tags of `?tag=`, and says so.
    tags: bool,
    /// Says that it has set them, and has set the first one alone.
    lies: bool,
    /// Compares what a name holds with `If-Match` and `If-None-Match`.
    compares: bool,
    /// Compares with something else than the digest.
    compares_otherwise: bool,
    /// Somebody else sets this tag just before it is set for the first time.
    raced: Option<(&'static str, Digest)>,
    /// And this one, which names their version.
    raced_for: Option<&'static str>,
    /// Somebody else sets this tag just after it is set for the first time.
    overwritten: Option<(&'static str, Digest)>,
    /// This tag is not shown for so long after it was set.
    hides: Option<(&'static str, Duration)>,
}

/// A stand-in for a registry: it has what a layout has, and tags of its own.
struct FakeRegistry {
    server: FakeServer,
    tags: Arc<Mutex<BTreeMap<String, Digest>>>,
}

impl FakeRegistry {
    fn start(images: &Layout, does: Does) -> Self {
        let tags = Arc::new(Mutex::new(BTreeMap::new()));
        let (shared, images, raced) = (Arc::clone(&tags), images.clone(), Mutex::new(does.raced));
        let (overwritten, hidden) = (Mutex::new(does.overwritten), Mutex::new(None::<Instant>));
        let server = FakeServer::start(move |request| {
            let mut tags = shared.lock().unwrap();
            let (method, target) = request.line.split_once(' ').unwrap();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let name = path.rsplit('/').next().unwrap();
            let mut raced = raced.lock().unwrap();
            if method == "PUT"
                && raced.is_some_and(|(tag, _)| tag == name)
                && let Some((tag, digest)) = raced.take()
            {
                let names = [Some(tag), does.raced_for].into_iter().flatten();
                tags.extend(names.map(|tag| (tag.to_owned(), digest)));
            }
            if path.ends_with("/tags/list") {
                let names: Vec<String> = tags.keys().map(|tag| format!("\"{tag}\"")).collect();
                let list = format!("{{\"name\": \"acme/web\", \"tags\": [{}]}}", names.join(", "));
                return Answer::new("200 OK").header("Content-Type", "application/json").body(list);
            }
            let held = name.parse().ok().or_else(|| tags.get(name).copied());
            if method != "PUT" {
                let set = hidden.lock().unwrap().map(|set| set.elapsed());
                let is_hidden =
                    |(tag, time): (&str, Duration)| tag == name && set.is_some_and(|set| set < time);
                if does.hides.is_some_and(is_hidden) {
                    return Answer::new("404 Not Found");
                }
                let Some(bytes) = held.and_then(|held| std::fs::read(images.blob_path(&held)).ok()) else {
                    return Answer::new("404 Not Found");
                };
                let answer = Answer::new("200 OK").header("Content-Type", media_type::MANIFEST);
                return answer.header("Docker-Content-Digest", Digest::of(&bytes).to_string()).body(bytes);
            }
            if does.compares && !holds(request, held, does.compares_otherwise) {
                return Answer::new("412 Precondition Failed");
            }
            let image = Digest::of(&request.body);
            let wanted: Vec<&str> = query.split('&').filter_map(|one| one.strip_prefix("tag=")).collect();
            let set = if does.lies { 1 } else { wanted.len() };
            let answer = Answer::new("201 Created");
            if !wanted.is_empty() && does.tags {
                tags.extend(wanted.iter().take(set).map(|tag| ((*tag).to_owned(), image)));
                return answer.header("OCI-Tag", wanted.join(", "));
            }
            if name.parse::<Digest>().is_err() {
                tags.insert(name.to_owned(), image);
            }
            if does.hides.is_some_and(|(tag, _)| tag == name) {
                hidden.lock().unwrap().get_or_insert_with(Instant::now);
            }
            let mut overwritten = overwritten.lock().unwrap();
            if overwritten.is_some_and(|(tag, _)| tag == name) {
                tags.extend(overwritten.take().map(|(tag, digest)| (tag.to_owned(), digest)));
            }
            answer
        });
        Self { server, tags }
    }

    fn plan(&self) -> RegistryPlan {
        let name = format!("{}/acme/web", self.server.address);
        RegistryPlan { place: RegistryPlace::Remote(name), ..registry() }
    }

    fn holds(&self) -> BTreeMap<String, Digest> {
        self.tags.lock().unwrap().clone()
    }

    /// The names that were put, without the host's part of the path.
    fn put(&self) -> Vec<String> {
        let lines = self.server.lines();
        let put = lines.iter().filter_map(|line| line.strip_prefix("PUT /v2/acme/web/manifests/"));
        put.map(str::to_owned).collect()
    }
}

/// Whether the conditions of a request are met by what its name holds.
fn holds(request: &Received, held: Option<Digest>, otherwise: bool) -> bool {
    let matches = request
        .header("if-match")
        .is_none_or(|tag| !otherwise && held.is_some_and(|held| tag == format!("\"{held}\"")));
    matches && (request.header("if-none-match").is_none() || held.is_none())
}

/// Sets two immutable tags and a moving one; what became of them, and the registry.
async fn set(project: &Project, image: &Descriptor, does: Does) -> (TagReport, FakeRegistry) {
    let registry = FakeRegistry::start(&project.images, does);
    let tags = vec![immutable("1.0.0"), immutable("sha-1"), moving("latest", "1.0.0")];
    let step = TagStep { registry: registry.plan(), ..step_of(tags) };
    let report = tag(&project.publisher, &step, image).await;
    (report, registry)
}

fn results(report: &TagReport) -> Vec<TagResult> {
    report.changes.iter().map(|change| change.result.clone()).collect()
}

#[tokio::test]
async fn tags_that_are_as_wide_as_each_other_are_set_at_the_same_time() {
    let project = Project::new();
    let web = project.image("1.0.0");
    let registry = FakeRegistry::start(&project.images, Does::default());
    let tags = ["newest", "current", "live"].map(|tag| moving(tag, "1.0.0")).to_vec();
    let step = TagStep { registry: registry.plan(), ..step_of(tags) };
    let report = tag(&project.publisher, &step, &web).await;
    assert_eq!(report.problems, Problems::new());
    assert_eq!(results(&report), vec![TagResult::Moved; 3]);
    // What the last one holds is asked before the first one is set.
    let lines = registry.server.lines();
    let at = |line: &str| lines.iter().position(|known| known == line);
    let (asked, set) = (at("HEAD /v2/acme/web/manifests/live"), at("PUT /v2/acme/web/manifests/newest"));
    assert!(asked.is_some() && asked < set, "{lines:?}");
}

#[tokio::test]
async fn tags_that_never_change_are_set_at_once_where_the_registry_says_that_it_did() {
    let project = Project::new();
    let web = project.image("1.0.0");
    let all = |digest| ["1.0.0", "latest", "sha-1"].map(|tag| (tag.to_owned(), digest));
    let moved = vec![TagResult::Moved; 3];
    let together = format!("{}?tag=1.0.0&tag=sha-1", web.digest);
    let probe = web.digest.to_string();

    let (report, registry) = set(&project, &web, Does { tags: true, ..Does::default() }).await;
    assert_eq!((results(&report), report.problems.as_slice()), (moved.clone(), &[][..]));
    assert_eq!(registry.put(), [together.clone(), probe.clone(), "latest".to_owned()]);
    assert_eq!(registry.holds(), all(web.digest).into());

    // One that does not know how, and one that has set less than it says.
    let one_by_one = [together.clone(), probe.clone(), "1.0.0".into(), "sha-1".into(), "latest".into()];
    let (report, registry) = set(&project, &web, Does::default()).await;
    assert_eq!((results(&report), registry.put()), (moved.clone(), one_by_one.to_vec()));
    assert_eq!(registry.holds(), all(web.digest).into());
    let (report, registry) = set(&project, &web, Does { tags: true, lies: true, ..Does::default() }).await;
    assert_eq!(results(&report), moved);
    assert_eq!(registry.put(), [together, probe, "sha-1".to_owned(), "latest".to_owned()]);
    assert_eq!(registry.holds(), all(web.digest).into());
}

#[tokio::test]
async fn a_race_is_lost_to_whoever_is_first_where_the_registry_compares() {
    let project = Project::new();
    let (web, newer) = (project.image("1.0.0"), project.image("2.0.0"));
    let raced = Some(("latest", newer.digest));
    let (report, registry) = set(&project, &web, Does { compares: true, raced, ..Does::default() }).await;
    assert_eq!(report.problems.as_slice(), []);
    let TagResult::Kept(why) = &results(&report)[2] else { panic!("{report:?}") };
    assert!(why.starts_with("it holds 2.0.0, which is higher than 1.0.0"), "{why}");
    assert_eq!(registry.holds()["latest"], newer.digest);

    // An immutable tag that somebody else sets first is not overwritten, and what
    // stands by then is said.
    let raced = Some(("sha-1", newer.digest));
    let (report, registry) = set(&project, &web, Does { compares: true, raced, ..Does::default() }).await;
    assert_eq!(report.problems.as_slice()[0].code, Code::HalfReleased);
    assert_eq!(registry.holds()["sha-1"], newer.digest);
    assert!(!registry.holds().contains_key("latest"));
}

#[tokio::test]
async fn the_higher_version_is_set_again_where_the_lower_one_overwrites_it() {
    let project = Project::new();
    let (web, older, same) = (project.image("1.0.0"), project.image("0.9.0"), project.image("1.0.0+other"));
    let overwritten = Some(("latest", older.digest));
    let (report, registry) = set(&project, &web, Does { overwritten, ..Does::default() }).await;
    assert_eq!((results(&report), report.problems.as_slice()), (vec![TagResult::Moved; 3], &[][..]));
    assert_eq!(registry.holds()["latest"], web.digest);

    // Of two that no order tells apart, none gives way.
    let overwritten = Some(("latest", same.digest));
    let (report, registry) = set(&project, &web, Does { overwritten, ..Does::default() }).await;
    assert_eq!(report.problems.as_slice()[0].code, Code::HalfReleased);
    assert!(report.problems.as_slice()[0].title.ends_with(":latest` was moved by somebody else"));
    assert_eq!(registry.holds()["latest"], same.digest);
}

#[tokio::test]
async fn a_higher_version_that_was_overwritten_unseen_takes_its_place_again() {
    let project = Project::new();
    let (web, newer, lie) = (project.image("1.0.0"), project.image("1.0.1"), project.image("0.5.0"));
    let does = |digest, raced_for| Does { raced: Some(("latest", digest)), raced_for, ..Does::default() };
    let (report, registry) = set(&project, &web, does(newer.digest, Some("1.0.1"))).await;
    assert_eq!(report.problems.as_slice(), []);
    let why = "1.0.1 was released meanwhile, which is higher than 1.0.0".to_owned();
    assert_eq!(results(&report)[2], TagResult::Kept(why));
    assert_eq!(report.changes[2].to, newer.digest);
    assert_eq!(registry.holds()["latest"], newer.digest);

    // What is only called so is none.
    let (report, registry) = set(&project, &web, does(lie.digest, Some("1.0.2"))).await;
    assert_eq!(results(&report), vec![TagResult::Moved; 3]);
    assert_eq!(registry.holds()["latest"], web.digest);
}

#[tokio::test]
async fn whoever_releases_a_higher_version_is_given_time_to_set_its_tags() {
    let project = Project::new();
    let (web, newer) = (project.image("1.0.0"), project.image("1.0.1"));
    let registry = FakeRegistry::start(&project.images, Does::default());
    registry.tags.lock().unwrap().insert("1.0.1".to_owned(), newer.digest);
    let step =
        TagStep { registry: registry.plan(), ..step_of(vec![immutable("1.0.0"), moving("latest", "1.0.0")]) };
    let late = Arc::clone(&registry.tags);
    let theirs = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        late.lock().unwrap().insert("latest".to_owned(), newer.digest);
    };
    let (report, ()) = tokio::join!(tag(&project.publisher, &step, &web), theirs);
    let TagResult::Kept(why) = &results(&report)[1] else { panic!("{report:?}") };
    assert!(why.starts_with("it holds 1.0.1, which is higher than 1.0.0"), "{why}");

    // It may be one that is to have no other name.
    registry.tags.lock().unwrap().remove("latest");
    let report = tag(&project.publisher, &step, &web).await;
    assert_eq!(results(&report), [TagResult::Already, TagResult::Moved]);
    assert_eq!(registry.holds()["latest"], web.digest);
}

#[tokio::test]
async fn a_tag_that_is_not_shown_yet_was_not_moved_by_somebody_else() {
    let project = Project::new();
    let web = project.image("1.0.0");
    let hiding = |time| Does { hides: Some(("latest", time)), ..Does::default() };
    let late = set(&project, &web, hiding(Duration::from_secs(4)));
    let never = set(&project, &web, hiding(Duration::MAX));
    let ((late, _), (never, registry)) = tokio::join!(late, never);
    assert_eq!((results(&late), late.problems.as_slice()), (vec![TagResult::Moved; 3], &[][..]));
    let [problem] = never.problems.as_slice() else { panic!("{never:?}") };
    assert_eq!(problem.code, Code::HalfReleased);
    assert!(problem.title.ends_with(":latest` was set, and is not shown yet"), "{}", problem.title);
    assert!(problem.notes[0].ends_with("10 s later that it is not there"), "{:?}", problem.notes);
    assert!(problem.notes.last().unwrap().ends_with(":latest` is not there"), "{:?}", problem.notes);
    assert_eq!(registry.holds()["latest"], web.digest);
}

#[tokio::test]
async fn a_registry_that_compares_something_else_is_set_as_all_others_are() {
    let project = Project::new();
    let (web, older) = (project.image("1.0.0"), project.image("0.9.0"));
    let does = Does { compares: true, compares_otherwise: true, ..Does::default() };
    let registry = FakeRegistry::start(&project.images, does);
    registry.tags.lock().unwrap().insert("latest".to_owned(), older.digest);
    let step = TagStep { registry: registry.plan(), ..step_of(vec![moving("latest", "1.0.0")]) };
    let report = tag(&project.publisher, &step, &web).await;
    assert_eq!(results(&report), [TagResult::Moved]);
    assert_eq!(registry.holds()["latest"], web.digest);
}

#[tokio::test]
async fn every_tag_of_every_registry_is_judged_before_the_first_is_set() {
    let project = Project::new();
    let (web, other) = (project.image("1.0.0"), project.image("1.0.0+other"));
    let registries = [(); 2].map(|()| FakeRegistry::start(&project.images, Does::default()));
    registries[1].tags.lock().unwrap().insert("1.0.0".to_owned(), other.digest);
    let steps = registries.each_ref().map(|registry| TagStep {
        registry: registry.plan(),
        ..step_of(vec![immutable("1.0.0"), moving("latest", "1.0.0")])
    });
    let steps = steps.each_ref().map(|step| (step, &web));
    let refused = check_tags(&steps, &project.images, &project.publisher).await.unwrap_err();
    assert_eq!(refused.as_slice()[0].code, Code::ImmutableTag);
    assert_eq!(refused.as_slice().len(), 1);
    // Where the image is known, so is that before it is sent anywhere.
    assert!(check_immutable(&steps[1..], &project.images, &project.publisher).await.is_err());
    assert!(check_immutable(&steps[..1], &project.images, &project.publisher).await.is_ok());
    let read = |line: &String| line.starts_with("HEAD ") || line.starts_with("GET ");
    assert!(registries.iter().all(|registry| registry.server.lines().iter().all(read)));
    let asked = registries[0].server.lines();
    assert!(asked.contains(&"HEAD /v2/acme/web/manifests/latest".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn no_moving_tag_of_any_image_is_set_before_the_immutable_tags_of_all() {
    let project = Project::new();
    let (web, api, other) = (project.image("1.0.0"), project.image("1.0.0+api"), project.image("0.9.0"));
    let taken = Some(("1.0.0", other.digest));
    let registries = [Does::default(), Does { compares: true, raced: taken, ..Does::default() }]
        .map(|does| FakeRegistry::start(&project.images, does));
    let tags = || vec![immutable("1.0.0"), moving("1", "1.0.0"), moving("latest", "1.0.0")];
    let steps =
        registries.each_ref().map(|registry| TagStep { registry: registry.plan(), ..step_of(tags()) });
    let images = [&web, &api];
    let namings = || -> Vec<Naming<'_>> {
        let both = steps.iter().zip(images);
        both.map(|(step, image)| Naming { step, image, keep: None }).collect()
    };
    let Committed { changes, problems } = commit(&namings(), &[], &project.publisher, None).await;
    assert_eq!(changes.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(registries[0].holds(), BTreeMap::from([("1.0.0".to_owned(), web.digest)]));
    assert_eq!(registries[1].holds(), BTreeMap::from([("1.0.0".to_owned(), other.digest)]));
    // What stands anywhere is said with what went wrong elsewhere.
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.code, Code::HalfReleased);
    let stands = format!("{}/acme/web:1.0.0` holds {} now", registries[0].server.address, web.digest);
    assert!(problem.notes.iter().any(|note| note.contains(&stands)), "{:?}", problem.notes);

    registries[1].tags.lock().unwrap().clear();
    let Committed { changes, problems } = commit(&namings(), &[], &project.publisher, None).await;
    assert_eq!((changes.concat().len(), problems.as_slice()), (6, &[][..]));
    for (registry, image) in registries.iter().zip(images) {
        assert!(registry.holds().values().all(|held| *held == image.digest));
        let put = registry.put();
        assert_eq!(put[put.len() - 2..], ["1", "latest"]);
    }
}
