//! Tests with a real daemon.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use crate::engine::Image;
use crate::oci::{LayerCompression, Platform};
use crate::store::Layout;

/// An archive of a program that needs nothing else, and a file.
fn context(text: &str) -> Source {
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_path_with_name("/bin/busybox", "busybox").unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "greeting", text.as_bytes()).unwrap();
    let bytes = Bytes::from(archive.into_inner().unwrap());
    Arc::new(move || -> ByteStream {
        let bytes = bytes.clone();
        let pieces = (0..bytes.len()).step_by(1 << 16);
        let piece = move |at: usize| std::io::Result::Ok(bytes.slice(at..bytes.len().min(at + (1 << 16))));
        Box::pin(tokio_stream::iter(pieces.map(piece)))
    })
}

fn build(name: &str, dockerfile: &str, text: &str) -> Build {
    Build {
        id: format!("{name}-{}", std::process::id()),
        name: format!("hoist.test/{name}:x"),
        platform: Platform::host(),
        target: None,
        arguments: HashMap::new(),
        network: None,
        no_cache: false,
        caches: Vec::new(),
        owner: "test".to_owned(),
        offer: Offer {
            archives: [(CONTEXT.to_owned(), context(text))].into(),
            dockerfile: Bytes::from(dockerfile.to_owned()),
            secrets: [("token".to_owned(), b"hunter2".to_vec())].into(),
            agents: HashMap::new(),
            logins: HashMap::new(),
        },
    }
}

/// Builds, and returns what came of it with the lines that were written.
async fn run(engine: &Engine, build: Build) -> (Result<Built, EngineError>, Vec<String>) {
    let (sender, mut receiver) = mpsc::channel(8);
    let lines = async {
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(String::from_utf8(line).unwrap());
        }
        lines
    };
    tokio::join!(engine.build(build, sender), lines)
}

const DOCKERFILE: &str = r#"
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo made > /made"]
FROM base
ARG WORD=none
COPY greeting /greeting
RUN --mount=type=secret,id=token ["/bin/busybox", "sh", "-c", "echo $WORD; /bin/busybox wc -c < /run/secrets/token"]
ENTRYPOINT ["/bin/busybox", "cat", "/greeting"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_built_and_brought_to_a_layout() {
    let Some(socket) = fixture::docker("an_image_is_built_and_brought_to_a_layout") else { return };
    let engine = Engine::connect(&Address::Unix(socket), None).await.unwrap();
    assert_eq!(engine.about().kind, EngineKind::Docker);
    assert!(engine.about().has_buildkit);
    let build = Build {
        arguments: [("WORD".to_owned(), "seven".to_owned())].into(),
        ..build("whole", DOCKERFILE, "hi")
    };
    let (first, lines) = run(&engine, build.clone()).await;
    let first = first.unwrap();
    assert!(lines.iter().any(|line| line.ends_with(" seven")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with(" 7")), "{lines:#?}");
    assert_eq!(first.hits.steps, 4);

    let directory = tempfile::tempdir().unwrap();
    let images = Layout::create(directory.path()).unwrap();
    let saved = engine.save(&first.image, LayerCompression::GZIP, &images).await.unwrap();
    let image = Image::read(&images, &saved).unwrap();
    assert_eq!(image.config.platform(), Platform::host());
    assert_eq!(image.manifest.layers.len(), 4);
    let mut tree = crate::oci::FileTree::default();
    image.apply(&images, &mut tree).unwrap();
    assert!(tree.get(b"made").is_some() && tree.get(b"greeting").is_some());

    // Once more: from the engine's cache, and the same image.
    let (again, _) = run(&engine, Build { id: "again".to_owned(), ..build }).await;
    let again = again.unwrap();
    assert_eq!(again.hits, CacheHits { steps: 4, cached: 4 });
    assert_eq!(engine.save(&again.image, LayerCompression::GZIP, &images).await.unwrap(), saved);
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_builds_the_same() {
    let Some(socket) = fixture::podman("podman_builds_the_same") else { return };
    let engine = Engine::connect(&Address::Unix(socket), None).await.unwrap();
    assert_eq!(engine.about().kind, EngineKind::Podman);
    let whole = "FROM scratch\nCOPY . /all\nENV PATH=/all\n\
        RUN --mount=type=secret,id=token [\"busybox\", \"wc\", \"-c\", \"/run/secrets/token\"]\n\
        RUN [\"busybox\", \"touch\", \"/made\"]\n";
    let (built, lines) = run(&engine, build("podman", whole, "hi")).await;
    let built = built.unwrap();
    assert!(lines.iter().any(|line| line == "7 /run/secrets/token"), "{lines:#?}");
    assert_eq!(built.hits, CacheHits { steps: 4, cached: 0 });

    let directory = tempfile::tempdir().unwrap();
    let images = Layout::create(directory.path()).unwrap();
    let saved = engine.save(&built.image, LayerCompression::GZIP, &images).await.unwrap();
    let image = Image::read(&images, &saved).unwrap();
    let mut tree = crate::oci::FileTree::default();
    image.apply(&images, &mut tree).unwrap();
    let files = tree.iter().map(|(path, _)| String::from_utf8_lossy(path));
    let files: Vec<_> = files.filter(|path| path.starts_with("all") || path.contains("secret")).collect();
    // Nothing of what only the build needs, but the place that the secret was mounted at.
    assert_eq!(files, ["all", "all/busybox", "all/greeting", "run/secrets"]);

    let (again, _) = run(&engine, build("podman", whole, "hi")).await;
    assert_eq!(again.unwrap().hits.cached, 4);
    let failing =
        "FROM scratch\nCOPY busybox /busybox\nRUN [\"/busybox\", \"sh\", \"-c\", \"echo why; exit 3\"]\n";
    let (failed, lines) = run(&engine, build("failing", failing, "hi")).await;
    let EngineError::Failed { words, instruction } = failed.unwrap_err() else { panic!("{lines:?}") };
    assert_eq!(instruction.as_deref(), Some(r#"RUN ["/busybox", "sh", "-c", "echo why; exit 3"]"#));
    assert!(words.contains("exit status 3"), "{words}");
    assert!(lines.iter().any(|line| line == "why"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_says_what_failed() {
    let Some(socket) = fixture::docker("a_build_that_fails_says_what_failed") else { return };
    let engine = Engine::connect(&Address::Unix(socket), None).await.unwrap();
    let dockerfile =
        "FROM scratch\nCOPY busybox /busybox\nRUN [\"/busybox\", \"sh\", \"-c\", \"echo why; exit 3\"]\n";
    let (built, lines) = run(&engine, build("failing", dockerfile, "hi")).await;
    let EngineError::Failed { words, instruction } = built.unwrap_err() else { panic!("{lines:?}") };
    assert_eq!(instruction.as_deref(), Some(r#"RUN ["/busybox", "sh", "-c", "echo why; exit 3"]"#));
    assert!(words.contains("exit code: 3"), "{words}");
    assert!(lines.iter().any(|line| line.ends_with(" why")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_at_the_same_time_have_each_its_own_files() {
    let test = "builds_at_the_same_time_have_each_its_own_files";
    for socket in [fixture::docker(test), fixture::podman(test)].into_iter().flatten() {
        let engine = Engine::connect(&Address::Unix(socket), None).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        // Once more with Dockerfiles that are of the same sizes, and not the same.
        for round in ["a", "b"] {
            let one = async |word: &str| {
                let dockerfile = format!(
                    "FROM scratch\nCOPY busybox greeting /\nRUN [\"/busybox\", \"echo\", \"{round}{word}\"]\nLABEL word={round}{word}\n"
                );
                let (built, lines) = run(&engine, build(&format!("{round}{word}"), &dockerfile, word)).await;
                let saved =
                    engine.save(&built.unwrap().image, LayerCompression::GZIP, &images).await.unwrap();
                let image = Image::read(&images, &saved).unwrap();
                let label = image.config.config.labels.get("word").cloned();
                assert_eq!(label, Some(format!("{round}{word}")), "{engine}: {lines:#?}");
                let layer = images.open_blob(&image.manifest.layers[0]).unwrap();
                let mut archive = tar::Archive::new(
                    crate::oci::decompress(crate::oci::media_type::Compression::Gzip, layer).unwrap(),
                );
                let text = archive.entries().unwrap().map(Result::unwrap).find_map(|mut entry| {
                    let mut text = String::new();
                    let is_it = entry.path().unwrap().ends_with("greeting");
                    is_it.then(|| std::io::Read::read_to_string(&mut entry, &mut text).map(|_| text).unwrap())
                });
                assert_eq!(text.as_deref(), Some(word), "{engine}");
            };
            tokio::join!(one("one"), one("two"), one("six"));
        }
    }
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_told_from_one_that_is_no_engine() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("none.sock");
    let nobody = Engine::connect(&Address::Unix(socket.clone()), None).await;
    assert!(matches!(nobody, Err(EngineError::Unreachable(_))), "{:?}", nobody.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_layout_is_what_another_starts_from() {
    let test = "an_image_of_a_layout_is_what_another_starts_from";
    for socket in [fixture::docker(test), fixture::podman(test)].into_iter().flatten() {
        let engine = Engine::connect(&Address::Unix(socket), None).await.unwrap();
        let below = "FROM scratch\nCOPY busybox /bin/busybox\nENV BELOW=yes\n";
        let (built, _) = run(&engine, build("below", below, "hi")).await;
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        let compression = LayerCompression::ZSTD;
        let saved = engine.save(&built.unwrap().image, compression, &images).await.unwrap();

        let name = format!("hoist.local/below:{}", saved.digest.hex());
        engine.load(&saved, &name, &images).await.unwrap();
        engine.load(&saved, &name, &images).await.unwrap();
        let above = format!("FROM {name}\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo below: $BELOW\"]\n");
        let (built, lines) = run(&engine, build("above", &above, "hi")).await;
        assert!(lines.iter().any(|line| line.ends_with("below: yes")), "{engine}: {lines:#?}");
        let above = engine.save(&built.unwrap().image, compression, &images).await.unwrap();
        let layers = |manifest| Image::read(&images, manifest).unwrap().manifest.layers;
        assert_eq!(layers(&above)[0], layers(&saved)[0]);
    }
}
