//! Publishing into layouts.

mod stages;
mod tagging;

use semver::Version;

use super::*;
use crate::config::ProjectPath;
use crate::diagnostic::{Code, Problems, Sources, Span};
use crate::facts::Environment;
use crate::oci::{Descriptor, Digest, Index, Platform, Reference, media_type};
use crate::plan::{FoundStep, PushStep, RegistryPlace, RegistryPlan, RemoteBase, StepIndex, TagStep};
use crate::store::Layout;
use crate::store::fixture::{Answer, DockerRegistry, FakeServer, image, index};
use crate::tags::{Movement, PlannedTag, Track};

/// A project with a staging store, and a layout to publish to.
struct Project {
    directory: tempfile::TempDir,
    images: Layout,
    publisher: Publisher,
}

const REPOSITORY: &str = "oci:out/web";

impl Project {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path().join("staging")).unwrap();
        let publisher = Publisher::new(directory.path(), Environment::default());
        Self { directory, images, publisher }
    }

    fn out(&self) -> Layout {
        Layout::open(self.directory.path().join("out/web")).unwrap()
    }

    fn image(&self, version: &str) -> Descriptor {
        image(
            &self.images,
            "linux/amd64",
            version.as_bytes(),
            &[("org.opencontainers.image.version", version)],
        )
    }

    async fn push(&self, image: &Descriptor) {
        let step = PushStep { image: StepIndex(0), registry: registry() };
        push(&step, image, &self.images, &self.publisher, std::sync::Arc::new(|_| {})).await.unwrap();
    }

    async fn tag(&self, image: &Descriptor, tags: Vec<PlannedTag>) -> TagReport {
        let step = step_of(tags);
        match check_tags(&[(&step, image)], &self.images, &self.publisher).await {
            Ok(_) => tag(&self.publisher, &step, image).await,
            Err(problems) => TagReport { problems, ..TagReport::default() },
        }
    }

    async fn release(&self, version: &str) -> Vec<(String, TagResult)> {
        let image = self.image(version);
        self.push(&image).await;
        let report = self.tag(&image, vec![immutable(version), moving("latest", version)]).await;
        assert_eq!(report.problems.as_slice(), []);
        report.changes.into_iter().map(|change| (change.tag.to_string(), change.result)).collect()
    }
}

/// What became of the tags of one image in one repository.
#[derive(Debug, Default, PartialEq, Eq)]
struct TagReport {
    changes: Vec<TagChange>,
    problems: Problems,
}

/// Gives an image its names in one repository.
async fn tag(publisher: &Publisher, step: &TagStep, image: &Descriptor) -> TagReport {
    let Committed { changes, problems } =
        commit(&[Naming { step, image, keep: None }], &[], publisher, None).await;
    TagReport { changes: changes.concat(), problems }
}

fn registry() -> RegistryPlan {
    RegistryPlan::with_defaults("out", RegistryPlace::Layout(ProjectPath::root().join("out/web").unwrap()))
}

fn step_of(tags: Vec<PlannedTag>) -> TagStep {
    TagStep { image: StepIndex(0), registry: registry(), tags }
}

fn planned(tag: &str, movement: Movement) -> PlannedTag {
    let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
    PlannedTag { tag: tag.parse().unwrap(), rule: "semver", span, movement, local: false, returns: None }
}

fn immutable(tag: &str) -> PlannedTag {
    planned(tag, Movement::Immutable)
}

fn moving(tag: &str, version: &str) -> PlannedTag {
    let version = Version::parse(version).unwrap();
    planned(tag, Movement::Moving(Track::Version { version, numbers: 0 }))
}

#[tokio::test]
async fn nothing_is_visible_until_it_is_tagged() {
    let project = Project::new();
    let web = project.image("1.0.0");
    project.push(&web).await;
    assert_eq!(project.out().refs(), Ok(vec![]));
    assert!(project.out().holds(&web));
    let report = project.tag(&web, vec![immutable("1.0.0")]).await;
    let change = TagChange {
        repository: REPOSITORY.to_owned(),
        tag: "1.0.0".parse().unwrap(),
        from: None,
        to: web.digest,
        result: TagResult::Moved,
    };
    assert_eq!(report, TagReport { changes: vec![change], ..TagReport::default() });
    assert_eq!(project.out().resolve("1.0.0").unwrap().unwrap().digest, web.digest);
}

#[tokio::test]
async fn a_pinned_base_that_is_damaged_here_is_fetched_again() {
    let project = Project::new();
    let bytes = br#"{"schemaVersion": 2}"#;
    let base = project.images.write(media_type::MANIFEST, bytes).unwrap();
    let server = FakeServer::start(|_| {
        Answer::new("200 OK").header("Content-Type", media_type::MANIFEST).body(bytes.as_slice())
    });
    let reference: Reference = format!("{}/acme/base@{}", server.address, base.digest).parse().unwrap();
    let plan = RegistryPlan::plain(&reference.repository);
    let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
    let find = async || find_base(&reference, &plan, span, &project.publisher, &project.images).await;
    let expected = Ok((base.clone(), bytes.to_vec()));
    assert_eq!(find().await, expected);
    assert_eq!(server.lines().len(), 0);
    std::fs::write(project.images.blob_path(&base.digest), r#"{"schemaVersion": 3}"#).unwrap();
    assert_eq!(find().await, expected);
    let asked = server.lines().len();
    assert_eq!(find().await, expected);
    assert_eq!(server.lines().len(), asked);
}

#[tokio::test]
async fn a_base_whose_index_lies_in_an_index_is_found() {
    let project = Project::new();
    let directory = tempfile::tempdir().unwrap();
    let remote = Layout::create(directory.path()).unwrap();
    let amd64 = image(&remote, "linux/amd64", b"layer", &[]);
    let top = index(&remote, vec![index(&remote, vec![index(&remote, vec![amd64.clone()])])]);
    let has = remote.clone();
    let server = FakeServer::start(move |request| {
        let asked = request.line.rsplit('/').next().unwrap();
        let digest = if asked == "1" { top.digest } else { asked.parse().unwrap() };
        let Ok(bytes) = std::fs::read(has.blob_path(&digest)) else { return Answer::new("404 Not Found") };
        let kind = if digest == amd64.digest { media_type::MANIFEST } else { media_type::INDEX };
        Answer::new("200 OK").header("Content-Type", kind).body(bytes)
    });
    let reference: Reference = format!("{}/acme/base:1", server.address).parse().unwrap();
    let plan = RegistryPlan::plain(&reference.repository);
    let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
    let found = find_base(&reference, &plan, span, &project.publisher, &project.images).await.unwrap();
    let platform = "linux/amd64".parse().unwrap();
    let named = Index::parse(&found.1).unwrap().find(&platform).cloned().unwrap();
    assert_eq!(last_base(&reference, &project.images), Some(found.clone()));
    let base = RemoteBase { reference, registry: plan, descriptor: found.0, bytes: found.1.into() };
    pull(&base, &platform, &project.publisher, &project.images).await.unwrap();
    assert!(project.images.holds(&named) && project.images.holds(&Descriptor::of("", b"layer")));
}

#[tokio::test]
async fn an_image_of_a_stage_is_asked_for_once_and_comes_from_the_first_place_that_has_it() {
    let project = Project::new();
    let directory = tempfile::tempdir().unwrap();
    let remote = Layout::create(directory.path()).unwrap();
    let web = image(&remote, "linux/amd64", b"layer", &[]);
    let there = FakeServer::start(move |request| {
        let asked = request.line.rsplit('/').next().and_then(|asked| asked.parse().ok());
        let is_content = !request.line.contains("/referrers/");
        let content = asked.filter(|_| is_content).and_then(|it| std::fs::read(remote.blob_path(&it)).ok());
        let Some(content) = content else { return Answer::new("404 Not Found") };
        Answer::new("200 OK").header("Content-Type", media_type::MANIFEST).body(content)
    });
    let empty = FakeServer::start(|_| Answer::new("404 Not Found"));
    let plan =
        |server: &FakeServer| RegistryPlan::plain(&format!("{}/acme/web", server.address).parse().unwrap());
    let step = PushStep { image: StepIndex(0), registry: registry() };
    let bring = async |sources: Vec<RegistryPlan>| {
        let found = FoundStep { image: Some(web.clone()), sources };
        bring(&step, &found, &project.publisher, std::sync::Arc::new(|_| {})).await
    };
    bring(vec![plan(&empty), plan(&there)]).await.unwrap();
    assert!(project.out().holds(&web));
    let asked = format!("GET /v2/acme/web/manifests/{}", web.digest);
    let of_image = |server: &FakeServer| {
        server.lines().into_iter().filter(|line| line.ends_with(&web.digest.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(of_image(&empty), std::slice::from_ref(&asked));
    let of_image: Vec<_> = of_image(&there).into_iter().filter(|line| !line.contains("referrers")).collect();
    assert_eq!(of_image, [asked]);
    let problem = bring(vec![plan(&empty)]).await.unwrap_err();
    assert_eq!(problem.code, Code::NotPromotable);
}

#[tokio::test]
async fn releasing_again_changes_nothing() {
    let project = Project::new();
    let named = |name: &str, result| (name.to_owned(), result);
    let first = project.release("1.0.0").await;
    assert_eq!(first, [named("1.0.0", TagResult::Moved), named("latest", TagResult::Moved)]);
    let again = project.release("1.0.0").await;
    assert_eq!(again, [named("1.0.0", TagResult::Already), named("latest", TagResult::Already)]);
}

#[tokio::test]
async fn a_moving_tag_never_goes_backwards() {
    let project = Project::new();
    project.release("2.0.1").await;
    let reason = "it holds 2.0.1, which is higher than 1.9.1; `--allow-regress` moves it all the same";
    let named = |name: &str, result| (name.to_owned(), result);
    let fix = project.release("1.9.1").await;
    assert_eq!(fix, [named("1.9.1", TagResult::Moved), named("latest", TagResult::Kept(reason.to_owned()))]);
    let latest = project.out().resolve("latest").unwrap().unwrap();
    assert_eq!(latest.digest, project.image("2.0.1").digest);
}

#[tokio::test]
async fn a_moving_tag_goes_backwards_where_that_is_allowed() {
    let project = Project::new();
    project.release("2.0.1").await;
    let Project { directory, images, publisher } = project;
    let project = Project { directory, images, publisher: publisher.allow_regress(true) };
    let back = project.release("1.9.1").await;
    assert_eq!(back[1], ("latest".to_owned(), TagResult::Moved));
}

#[tokio::test]
async fn an_immutable_tag_with_another_image_stops_everything_before_anything_moved() {
    let project = Project::new();
    project.release("1.0.0").await;
    let other = project.image("1.0.0+rebuilt");
    project.push(&other).await;
    let tags = vec![moving("latest", "1.0.0"), immutable("1.0.0"), immutable("2.0.0")];
    let report = project.tag(&other, tags).await;
    assert_eq!(report.changes, []);
    let [problem] = report.problems.as_slice() else { panic!("{report:?}") };
    assert_eq!(problem.code, Code::ImmutableTag);
    assert_eq!(problem.title, "`oci:out/web:1.0.0` holds another image and never changes");
    assert_eq!(project.out().refs().unwrap().len(), 2);
    let held = project.out().resolve("latest").unwrap().unwrap();
    assert_eq!(held.digest, project.image("1.0.0").digest);
}

#[tokio::test]
async fn of_releases_at_the_same_time_the_highest_version_wins() {
    let project = Project::new();
    let release = async |version: &str| {
        let web = project.image(version);
        project.push(&web).await;
        project.tag(&web, vec![moving("latest", version)]).await.problems
    };
    let (one, two, three) = tokio::join!(release("1.0.0"), release("3.0.0"), release("2.0.0"));
    assert!(one.is_empty() && two.is_empty() && three.is_empty());
    let latest = project.out().resolve("latest").unwrap().unwrap();
    assert_eq!(latest.digest, project.image("3.0.0").digest);
}

#[tokio::test]
async fn a_link_out_of_the_project_is_not_followed() {
    let project = Project::new();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), project.directory.path().join("out")).unwrap();
    let web = project.image("1.0.0");
    let step = PushStep { image: StepIndex(0), registry: registry() };
    let quiet = std::sync::Arc::new(|_| {});
    let problem = push(&step, &web, &project.images, &project.publisher, quiet).await.unwrap_err();
    assert_eq!(problem.code, Code::OutsideProject);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_index_may_write_a_platform_otherwise_than_its_image_and_not_mean_another() {
    let project = Project::new();
    let named = |architecture: &str| {
        let platform =
            Platform { os: "Linux".to_owned(), architecture: architecture.to_owned(), variant: None };
        let image = image(&project.images, "linux/amd64", b"layer", &[]);
        index(&project.images, vec![Descriptor { platform: Some(platform), ..image }])
    };
    project.push(&named("x86_64")).await;
    let step = PushStep { image: StepIndex(0), registry: registry() };
    let quiet = std::sync::Arc::new(|_| {});
    let problem =
        push(&step, &named("aarch64"), &project.images, &project.publisher, quiet).await.unwrap_err();
    assert_eq!(problem.notes, ["its index says Linux/aarch64, its configuration linux/amd64"]);
}

#[tokio::test]
async fn a_registry_holds_what_a_layout_holds() {
    let test = "a_registry_holds_what_a_layout_holds";
    let Some(server) = DockerRegistry::start(test, "", "") else { return };
    let project = Project::new();
    let registry =
        RegistryPlan { place: RegistryPlace::Remote(format!("{}/acme/web", server.address)), ..registry() };
    let release = async |version: &str| {
        let web = project.image(version);
        let step = PushStep { image: StepIndex(0), registry: registry.clone() };
        let quiet = std::sync::Arc::new(|_| {});
        push(&step, &web, &project.images, &project.publisher, quiet).await.unwrap();
        let tags = vec![immutable(version), moving("latest", version)];
        let step = TagStep { registry: registry.clone(), ..step_of(tags) };
        let report = tag(&project.publisher, &step, &web).await;
        assert_eq!(report.problems.as_slice(), []);
        report.changes.into_iter().map(|change| (change.from, change.to)).collect::<Vec<_>>()
    };
    let digest = |version: &str| project.image(version).digest;
    let (old, new) = (digest("1.0.0"), digest("1.1.0"));
    assert_eq!(release("1.0.0").await, [(None, old), (None, old)]);
    assert_eq!(release("1.1.0").await, [(None, new), (Some(old), new)]);
    assert_eq!(release("1.0.0").await, [(Some(old), old), (Some(new), new)]);
}

#[tokio::test]
async fn a_local_name_is_not_published() {
    let project = Project::new();
    let web = project.image("1.0.0");
    project.push(&web).await;
    let local = PlannedTag { local: true, ..immutable("local-1") };
    assert_eq!(project.tag(&web, vec![local]).await, TagReport::default());
    assert_eq!(project.out().refs(), Ok(vec![]));
}

#[tokio::test]
async fn the_version_of_an_index_is_that_of_its_images() {
    let project = Project::new();
    let versioned = |version: &str| {
        let of = |platform| {
            let label = [("org.opencontainers.image.version", version)];
            image(&project.images, platform, b"layer", &label)
        };
        index(&project.images, vec![of("linux/amd64"), of("linux/arm64")])
    };
    let (new, old) = (versioned("v1.1.0"), versioned("1.0.0"));
    project.push(&new).await;
    project.push(&old).await;
    assert_eq!(project.tag(&new, vec![moving("1", "1.1.0")]).await.changes[0].result, TagResult::Moved);
    let kept = &project.tag(&old, vec![moving("1", "1.0.0")]).await.changes[0];
    assert!(matches!(kept.result, TagResult::Kept(_)), "{kept:?}");
    assert_eq!(kept.to, new.digest);
}

/// What `latest` holds cannot be read: its manifest is damaged. Its digest.
async fn damaged(project: &Project) -> Digest {
    let held = project.image("0.9.0");
    project.push(&held).await;
    project.out().set_ref("latest", &held).unwrap();
    std::fs::write(project.out().blob_path(&held.digest), "{}").unwrap();
    held.digest
}

#[tokio::test]
async fn a_tag_that_cannot_be_judged_stops_everything_before_anything_moved() {
    let project = Project::new();
    let web = project.image("1.0.0");
    project.push(&web).await;
    damaged(&project).await;
    let report = project.tag(&web, vec![immutable("1.0.0"), moving("latest", "1.0.0")]).await;
    assert_eq!(report.changes, []);
    assert_eq!(report.problems.as_slice()[0].code, Code::DigestMismatch);
    assert_eq!(report.problems.as_slice()[0].labels[0].text, "this rule makes the tag");
    assert_eq!(project.out().resolve("1.0.0"), Ok(None));
}

#[tokio::test]
async fn a_release_that_stops_midway_says_what_stands_each_time() {
    let project = Project::new();
    let web = project.image("1.0.0");
    project.push(&web).await;
    // After all tags were judged.
    let held = damaged(&project).await;
    let local = PlannedTag { local: true, ..immutable("local-1") };
    let step = step_of(vec![immutable("1.0.0"), moving("latest", "1.0.0"), local]);
    for result in [TagResult::Moved, TagResult::Already] {
        let report = tag(&project.publisher, &step, &web).await;
        let results: Vec<_> = report.changes.into_iter().map(|change| change.result).collect();
        assert_eq!(results, [result]);
        let [problem] = report.problems.as_slice() else { panic!("{:?}", report.problems) };
        assert_eq!(problem.code, Code::HalfReleased);
        assert!(problem.title.starts_with("`oci:out/web` was tagged in part: the content of "));
        let notes = [
            format!("`oci:out/web:1.0.0` holds {} now", web.digest),
            format!("`oci:out/web:latest` was not moved: it holds {held}"),
        ];
        assert!(problem.notes.ends_with(&notes), "{:?}", problem.notes);
    }
}

#[tokio::test]
async fn an_index_that_lies_about_a_platform_is_not_published() {
    let project = Project::new();
    let amd64 = image(&project.images, "linux/amd64", b"layer", &[]);
    let lie = Descriptor { platform: Some("linux/arm64".parse().unwrap()), ..amd64.clone() };
    let top = index(&project.images, vec![lie]);
    let step = PushStep { image: StepIndex(0), registry: registry() };
    let quiet = std::sync::Arc::new(|_| {});
    let problem = push(&step, &top, &project.images, &project.publisher, quiet).await.unwrap_err();
    assert_eq!(problem.notes, ["its index says linux/arm64, its configuration linux/amd64"]);
    assert!(!project.directory.path().join("out").exists());
}

#[tokio::test]
async fn an_image_that_is_not_whole_is_not_published() {
    let project = Project::new();
    let web = project.image("1.0.0");
    std::fs::remove_file(project.images.blob_path(&Digest::of(b"1.0.0"))).unwrap();
    let step = PushStep { image: StepIndex(0), registry: registry() };
    let quiet = std::sync::Arc::new(|_| {});
    let problem = push(&step, &web, &project.images, &project.publisher, quiet).await.unwrap_err();
    assert_eq!(problem.code, Code::NotFound);
    assert!(!project.out().has(&web.digest));
}

mod before_the_first_build {
    use std::time::Duration;

    use super::*;
    use crate::plan::{
        Action, AssembleStep, BaseSource, Definition, Effect, ImageSettings, Plan, Step, StepId, Verb,
    };

    fn plan(commit: &str, tags: Vec<PlannedTag>) -> Plan {
        let span = Span::new(Sources::new().add("release.kdl", ""), 0..0);
        let step = |verb, action| Step {
            id: StepId::of("web", verb, None),
            action,
            needs: Vec::new(),
            definition: Definition::default(),
            inputs: None,
            answer: None,
            effect: Effect::Publishing,
            pool: None,
            span,
            goal: true,
        };
        let labels = [("org.opencontainers.image.revision".to_owned(), commit.to_owned())];
        let settings = ImageSettings {
            entrypoint: None,
            cmd: None,
            user: None,
            workdir: None,
            expose: Vec::new(),
            volumes: Vec::new(),
            env: indexmap::IndexMap::new(),
            labels: labels.into_iter().collect(),
            stop_signal: None,
            created: jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(1),
        };
        let platform = "linux/amd64".parse().unwrap();
        let assemble =
            AssembleStep { platform, base: BaseSource::Scratch, layers: Vec::new(), settings, span };
        let steps = vec![
            step(Verb::Build, Action::Assemble(Box::new(assemble))),
            step(Verb::Tag, Action::Tag(Box::new(step_of(tags)))),
        ];
        Plan { steps, unpublished: None, gaps: Vec::new() }
    }

    #[tokio::test]
    async fn what_tags_hold_is_looked_at_and_nothing_is_written() {
        let project = Project::new();
        let tags = || vec![immutable("1.0.0"), moving("latest", "1.0.0")];
        let found = preflight(&plan("c1", tags()), &project.publisher).await;
        assert_eq!(found, Ok(()));
        assert!(!project.directory.path().join("out").exists());
        project.release("0.9.0").await;
        assert_eq!(preflight(&plan("c1", tags()), &project.publisher).await, Ok(()));
    }

    #[tokio::test]
    async fn an_immutable_tag_of_another_commit_refuses_the_release() {
        let project = Project::new();
        let label = [("org.opencontainers.image.revision", "c1")];
        let web = image(&project.images, "linux/amd64", b"layer", &label);
        project.push(&web).await;
        assert_eq!(project.tag(&web, vec![immutable("1.0.0")]).await.changes.len(), 1);
        assert!(preflight(&plan("c1", vec![immutable("1.0.0")]), &project.publisher).await.is_ok());
        let refused = preflight(&plan("c2", vec![immutable("1.0.0")]), &project.publisher).await.unwrap_err();
        let [problem] = refused.as_slice() else { panic!("{refused:?}") };
        assert_eq!(problem.code, Code::ImmutableTag);
        assert_eq!(problem.notes, ["it was made from commit c1, this is c2"]);
    }

    #[tokio::test]
    async fn an_immutable_tag_of_no_commit_refuses_the_release_unless_that_cannot_be_read() {
        let project = Project::new();
        let web = project.image("1.0.0");
        project.push(&web).await;
        assert_eq!(project.tag(&web, vec![immutable("1.0.0")]).await.changes.len(), 1);
        let refused = preflight(&plan("c1", vec![immutable("1.0.0")]), &project.publisher).await.unwrap_err();
        let [problem] = refused.as_slice() else { panic!("{refused:?}") };
        assert_eq!(problem.code, Code::ImmutableTag);
        assert_eq!(problem.notes, ["it does not say which commit it was made from, this is c1"]);
        // What it says is in its configuration.
        let manifest = std::fs::read(project.out().blob_path(&web.digest)).unwrap();
        let config = crate::oci::Manifest::parse(&manifest).unwrap().config;
        std::fs::remove_file(project.out().blob_path(&config.digest)).unwrap();
        assert!(preflight(&plan("c1", vec![immutable("1.0.0")]), &project.publisher).await.is_ok());
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_a_layout_refuses_the_release() {
        let project = Project::new();
        std::fs::write(project.directory.path().join("out"), "a file").unwrap();
        let refused = preflight(&plan("c1", vec![]), &project.publisher).await.unwrap_err();
        let [problem] = refused.as_slice() else { panic!("{refused:?}") };
        assert_eq!(problem.code, Code::ReadOnly);
        assert_eq!(problem.notes, ["it is not a directory"]);
    }
}
