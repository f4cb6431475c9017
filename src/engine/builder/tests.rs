//! Tests with a real daemon.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use crate::config::{Address, ProjectPath};
use crate::dockerfile::{Keyword, Spot};
use crate::engine::Image;
use crate::facts::{InputFile, InputKind, Seen};
use crate::oci::Platform;
use crate::plan::CachePlan;
use crate::store::Layout;
use crate::store::fixture::{openssl, program};

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
    // An engine takes a while to forget the session of a build that has ended.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    Build {
        id: format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)),
        name: format!("hoist.test/{name}:x"),
        platform: Platform::host(),
        target: None,
        arguments: HashMap::new(),
        network: None,
        no_cache: false,
        caches: Vec::new(),
        images: Vec::new(),
        root: std::env::temp_dir(),
        owner: "test".to_owned(),
        offer: Offer {
            context: context(text),
            files: None,
            dockerfile: Bytes::from(dockerfile.to_owned()),
            secrets: [("token".to_owned(), b"hunter2".to_vec())].into(),
            agents: HashMap::new(),
            logins: HashMap::new(),
        },
    }
}

/// The sockets of all engines.
fn all(test: &str) -> impl Iterator<Item = PathBuf> {
    [fixture::docker(test), fixture::podman(test), fixture::buildkit(test)].into_iter().flatten()
}

/// Builds, and returns what came of it with the lines that were written.
async fn run(engine: &Engine, build: Build) -> (Result<Built, EngineError>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    run_into(engine, build, &Layout::create(directory.path()).unwrap()).await
}

/// As [`run`], and the image is put into a layout.
async fn run_into(
    engine: &Engine,
    build: Build,
    images: &Layout,
) -> (Result<Built, EngineError>, Vec<String>) {
    let (sender, mut receiver) = mpsc::channel(8);
    let lines = async {
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(String::from_utf8(line).unwrap());
        }
        lines
    };
    tokio::join!(engine.build(build, images, sender), lines)
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

/// The engine of a socket. Where it is started by many tests at once, it may take its time
/// to say what it is.
async fn connected(socket: PathBuf) -> Engine {
    let address = Address::Unix(socket);
    for _ in 0..3 {
        if let Ok(engine) = Engine::connect(&address, None).await {
            return engine;
        }
    }
    Engine::connect(&address, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_built_and_brought_to_a_layout() {
    let test = "an_image_is_built_and_brought_to_a_layout";
    let sockets = [fixture::docker(test), fixture::buildkit(test)].into_iter().flatten();
    for (socket, kind) in sockets.zip([EngineKind::Docker, EngineKind::BuildKit]) {
        let engine = connected(socket).await;
        assert_eq!(engine.about().kind, kind);
        assert!(engine.about().has_buildkit);
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        let build = Build {
            arguments: [("WORD".to_owned(), "seven".to_owned())].into(),
            ..build("whole", DOCKERFILE, "hi")
        };
        let (first, lines) = run_into(&engine, build.clone(), &images).await;
        let first = first.unwrap();
        assert!(lines.iter().any(|line| line.ends_with(" seven")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.ends_with(" 7")), "{lines:#?}");
        assert_eq!(first.hits.steps, 4);

        let image = Image::read(&images, &first.image).unwrap();
        assert_eq!(image.config.platform(), Platform::host());
        assert_eq!(image.manifest.layers.len(), 4);
        let mut tree = crate::oci::FileTree::default();
        image.apply(&images, &mut tree).unwrap();
        assert!(tree.get(b"made").is_some() && tree.get(b"greeting").is_some());

        // Once more: from the engine's cache, and the same image.
        let (again, _) = run_into(&engine, Build { id: "again".to_owned(), ..build }, &images).await;
        let again = again.unwrap();
        assert_eq!(again.hits, CacheHits { steps: 4, cached: 4 });
        assert_eq!(again.image, first.image);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_builds_the_same() {
    let Some(socket) = fixture::podman("podman_builds_the_same") else { return };
    let engine = connected(socket).await;
    assert_eq!(engine.about().kind, EngineKind::Podman);
    let whole = "FROM scratch\nCOPY . /all\nENV PATH=/all\n\
        RUN --mount=type=secret,id=token [\"busybox\", \"wc\", \"-c\", \"/run/secrets/token\"]\n\
        RUN [\"busybox\", \"touch\", \"/made\"]\n";
    let directory = tempfile::tempdir().unwrap();
    let images = Layout::create(directory.path()).unwrap();
    let (built, lines) = run_into(&engine, build("podman", whole, "hi"), &images).await;
    let built = built.unwrap();
    assert!(lines.iter().any(|line| line == "7 /run/secrets/token"), "{lines:#?}");
    assert_eq!(built.hits, CacheHits { steps: 4, cached: 0 });

    let image = Image::read(&images, &built.image).unwrap();
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
    let EngineError::Failed { words, spot } = failed.unwrap_err() else { panic!("{lines:?}") };
    assert_eq!(spot, Some(Spot::OfStage { stage: 0, after: 0, keyword: Keyword::Run }));
    assert!(words.contains("exit status 3"), "{words}");
    assert!(lines.iter().any(|line| line == "why"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_says_what_failed() {
    let test = "a_build_that_fails_says_what_failed";
    for socket in [fixture::docker(test), fixture::buildkit(test)].into_iter().flatten() {
        let engine = connected(socket).await;
        let dockerfile =
            "FROM scratch\nCOPY busybox /busybox\nRUN [\"/busybox\", \"sh\", \"-c\", \"echo why; exit 3\"]\n";
        let (built, lines) = run(&engine, build("failing", dockerfile, "hi")).await;
        let EngineError::Failed { words, spot } = built.unwrap_err() else { panic!("{lines:?}") };
        let by_name = Spot::Layer { stage: String::new(), after: 0, keyword: Keyword::Run };
        assert!([Spot::Line(3), by_name].map(Some).contains(&spot), "{engine}: {spot:?}");
        assert!(words.contains("exit code: 3"), "{words}");
        assert!(lines.iter().any(|line| line.ends_with(" why")), "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_an_engine_has_are_not_sent_again_and_those_that_changed_are() {
    let test = "files_that_an_engine_has_are_not_sent_again_and_those_that_changed_are";
    for socket in [fixture::docker(test), fixture::buildkit(test)].into_iter().flatten() {
        let engine = connected(socket).await;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/greeting");
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::os::unix::fs::symlink("greeting", root.path().join("a/link")).unwrap();
        let file = |name: &str, kind, content: &str| InputFile {
            path: ProjectPath::root().join(format!("a/{name}")).unwrap(),
            kind,
            digest: *blake3::hash(content.as_bytes()).as_bytes(),
            seen: Seen::of(&root.path().join("a").join(name)).unwrap(),
        };
        let files = |content: &str| {
            std::fs::write(&path, content).unwrap();
            let files =
                [file("greeting", InputKind::File, content), file("link", InputKind::Symlink, "greeting")];
            Context::new(root.path(), std::path::Path::new(""), files.to_vec())
        };
        let one = async |dockerfile: &str, files: Context| {
            let mut build = build("files", dockerfile, "");
            build.offer.files = Some(files);
            run(&engine, build).await
        };
        let word = format!("hi {}", std::process::id());
        let context = files(&word);
        let dockerfile = "FROM scratch\nCOPY . /first\n";
        let (first, lines) = one(dockerfile, context.clone()).await;
        let first = first.unwrap_or_else(|error| panic!("{error}: {lines:#?}"));
        // It cannot be sent any more, and need not.
        std::fs::remove_file(&path).unwrap();
        let (again, lines) = one("FROM scratch\nCOPY a /again\n", context).await;
        assert!(again.is_ok(), "{again:?}: {lines:#?}");
        // The size is the same, and the content is another.
        let (other, _) = one(dockerfile, files(&word.to_uppercase())).await;
        assert_ne!(other.unwrap().image, first.image);
        // What is not what its digest says is no part of an image.
        let context = files("that");
        std::fs::write(&path, "this").unwrap();
        let (failed, lines) = one(dockerfile, context).await;
        let error = failed.unwrap_err().to_string();
        assert!(error.contains("`a/greeting` changed while it was sent"), "{error} {lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_at_the_same_time_have_each_its_own_files() {
    let test = "builds_at_the_same_time_have_each_its_own_files";
    for socket in all(test) {
        let engine = connected(socket).await;
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        // Once more with Dockerfiles that are of the same sizes, and not the same.
        for round in ["a", "b"] {
            let one = async |word: &str| {
                let dockerfile = format!(
                    "FROM scratch\nCOPY busybox greeting /\nRUN [\"/busybox\", \"echo\", \"{round}{word}\"]\nLABEL word={round}{word}\n"
                );
                let asked = build(&format!("{round}{word}"), &dockerfile, word);
                let (built, lines) = run_into(&engine, asked, &images).await;
                let image = Image::read(&images, &built.unwrap().image).unwrap();
                let label = image.config.config.labels.get("word").cloned();
                assert_eq!(label, Some(format!("{round}{word}")), "{engine}: {lines:#?}");
                let layer = images.open_blob(&image.manifest.layers[0]).unwrap();
                let mut archive = tar::Archive::new(
                    crate::oci::decompress(crate::oci::media_type::Compression::Gzip, layer).unwrap(),
                );
                let content = archive.entries().unwrap().map(Result::unwrap).find_map(|mut entry| {
                    let mut read = String::new();
                    let is_it = entry.path().unwrap().ends_with("greeting");
                    is_it.then(|| std::io::Read::read_to_string(&mut entry, &mut read).map(|_| read).unwrap())
                });
                assert_eq!(content.as_deref(), Some(word), "{engine}");
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
    for socket in all(test) {
        let engine = connected(socket).await;
        let below = "FROM scratch\nCOPY busybox /bin/busybox\nENV BELOW=yes\n";
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        let (built, _) = run_into(&engine, build("below", below, "hi"), &images).await;
        let below = built.unwrap().image;
        let dockerfile = "FROM the-image\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo below: $BELOW\"]\n\
             COPY --from=the-image /bin/busybox /other\n";
        let mut above = None;
        for round in ["above", "again"] {
            let asked = Build {
                images: vec![("the-image".to_owned(), below.clone())],
                ..build(round, dockerfile, "hi")
            };
            let (built, lines) = run_into(&engine, asked, &images).await;
            let built = built.unwrap();
            if round == "above" {
                assert!(lines.iter().any(|line| line.ends_with("below: yes")), "{engine}: {lines:#?}");
            }
            assert_eq!(*above.get_or_insert(built.image.clone()), built.image, "{engine}");
        }
        let layers = |manifest| Image::read(&images, manifest).unwrap().manifest.layers;
        assert_eq!(layers(&above.unwrap())[0], layers(&below)[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_of_the_length_of_another_is_not_taken_for_it() {
    let test = "a_dockerfile_of_the_length_of_another_is_not_taken_for_it";
    let Some(socket) = fixture::docker(test) else { return };
    let engine = connected(socket).await;
    for word in ["one", "two"] {
        let dockerfile = format!(
            "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"echo\", \"{word}\"]\n"
        );
        let (built, lines) = run(&engine, build(&format!("length-{word}"), &dockerfile, "hi")).await;
        built.unwrap();
        assert!(lines.iter().any(|line| line.ends_with(&format!(" {word}"))), "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_of_the_machine_and_caches_that_an_engine_does_not_know() {
    let test = "the_network_of_the_machine_and_caches_that_an_engine_does_not_know";
    let dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"ip\", \"link\"]\n";
    for socket in all(test) {
        let engine = connected(socket).await;
        let devices = |lines: &[String]| lines.iter().filter(|line| line.contains("link/")).count();
        let with = |network: &str| Build {
            network: Some(network.to_owned()),
            no_cache: true,
            ..build(&format!("network-{network}"), dockerfile, "hi")
        };
        let (built, host) = run(&engine, with("host")).await;
        built.unwrap();
        let (built, none) = run(&engine, with("none")).await;
        built.unwrap();
        assert!(devices(&host) > devices(&none), "{engine}: {host:#?} {none:#?}");
        let (built, _) = run(&engine, with("default")).await;
        built.unwrap();

        let reference = "127.0.0.1:1/cache:one".to_owned();
        let caches = vec![CachePlan::Registry { reference, max: true }];
        let (built, lines) = run(&engine, Build { caches, ..build("cached", dockerfile, "hi") }).await;
        let without = built.unwrap().without_cache;
        assert_eq!(without, engine.about().kind != EngineKind::BuildKit, "{engine}: {lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_one_platform_are_not_taken_for_those_of_another() {
    let test = "layers_of_one_platform_are_not_taken_for_those_of_another";
    for socket in all(test) {
        let engine = connected(socket).await;
        let directory = tempfile::tempdir().unwrap();
        let images = Layout::create(directory.path()).unwrap();
        for (number, platform) in (0..).zip(["linux/amd64", "linux/arm64", "linux/amd64"]) {
            let platform: Platform = platform.parse().unwrap();
            let name = format!("platform-{number}-{}", platform.architecture);
            let asked = build(&name, "FROM scratch\nCOPY greeting /platform\n", "hi");
            let asked = Build { platform: platform.clone(), ..asked };
            let (built, lines) = run_into(&engine, asked, &images).await;
            let image = Image::read(&images, &built.unwrap().image).unwrap();
            assert_eq!(image.config.platform(), platform, "{engine}: {lines:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_found_and_removed_and_nothing_of_others() {
    let test = "what_is_left_is_found_and_removed_and_nothing_of_others";
    for socket in [fixture::docker(test), fixture::podman(test)].into_iter().flatten() {
        let engine = connected(socket).await;
        let dockerfile = "FROM scratch\nCOPY greeting /greeting\nCMD [\"/greeting\"]\n";
        let owned = |owner: &str, name: &str, greeting: &str| Build {
            name: format!("{}:{name}", repository(owner)),
            owner: owner.to_owned(),
            ..build(&format!("left-{owner}-{name}"), dockerfile, greeting)
        };
        run(&engine, owned("mine", "web", "one")).await.0.unwrap();
        // The first one loses its name.
        let again = Build { id: format!("again-{}", std::process::id()), ..owned("mine", "web", "two") };
        run(&engine, again).await.0.unwrap();
        run(&engine, owned("minetoo", "web", "three")).await.0.unwrap();
        let container = bollard::models::ContainerCreateBody {
            image: Some(format!("{}:web", repository("mine"))),
            ..Default::default()
        };
        let options = None::<bollard::query_parameters::CreateContainerOptions>;
        engine.docker().unwrap().create_container(options, container).await.unwrap();

        let left = engine.leftovers("mine").await.unwrap();
        let is_image = |left: &&Leftover| matches!(left, Leftover::Image { .. });
        assert_eq!((left.len(), left.iter().filter(is_image).count()), (3, 2), "{engine}: {left:#?}");
        assert!(matches!(left[0], Leftover::Container { .. }), "{left:#?}");
        for leftover in &left {
            engine.remove(leftover).await.unwrap();
        }
        assert_eq!(engine.leftovers("mine").await.unwrap(), []);
        assert_eq!(engine.leftovers("minetoo").await.unwrap().len(), 1);
    }
}

/// Passes on what comes over TLS from who has a certificate of an authority.
async fn tls_before(socket: PathBuf, directory: &std::path::Path) -> String {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = |name: &str| CertificateDer::from_pem_file(directory.join(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![certificate("server.pem")],
            PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut engine = tokio::net::UnixStream::connect(socket).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut engine).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_reached_over_tls_by_who_has_a_certificate() {
    let test = "an_engine_is_reached_over_tls_by_who_has_a_certificate";
    let Some(socket) = fixture::docker(test) else { return };
    if program(test, "openssl", "HOIST_TEST_OPENSSL_BIN").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(path, "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=ca");
    for name in ["server", "client"] {
        openssl(
            path,
            &format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out request -subj /CN={name}"),
        );
        openssl(
            path,
            &format!(
                "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {name}.pem"
            ),
        );
    }
    let address = Address::Tcp(tls_before(socket, path).await);
    let platform = Platform::host();
    let engines = |identity: Option<PrivateKey>, ca: &str| {
        let identity = identity.map(|key| (path.join("client.pem"), key));
        let place = Place {
            name: "builder `big`".to_owned(),
            address: address.clone(),
            platforms: vec![Platform::host()],
            certificates: Some(Certificates { ca: path.join(ca), identity }),
        };
        Engines::new(vec![place], &crate::facts::Environment::default())
    };
    let held = std::fs::read(path.join("client.key")).unwrap();
    let keys = [("file", PrivateKey::File(path.join("client.key"))), ("held", PrivateKey::Held(held))];
    for (name, key) in keys {
        let engine = engines(Some(key), "ca.pem").find(&platform).await.map_err(|error| format!("{error:?}"));
        let dockerfile = "FROM scratch\nCOPY greeting /tls\n";
        run(&engine.unwrap(), build(&format!("tls-{name}"), dockerfile, "hi")).await.0.unwrap();
    }
    let refused = |engine: Result<Engine, NoEngine>| match engine {
        Err(NoEngine::Builder(name, error)) => format!("{name}: {error}"),
        other => panic!("{:?}", other.err()),
    };
    let anonymous = refused(engines(None, "ca.pem").find(&platform).await);
    assert!(anonymous.starts_with("builder `big`: "), "{anonymous}");
    let wrong_key = PrivateKey::Held(b"s3cret".to_vec());
    assert!(!format!("{wrong_key:?}").contains("s3cret"));
    let unusable = refused(engines(Some(wrong_key), "ca.pem").find(&platform).await);
    assert!(unusable.ends_with("client.pem: its key is to be in PEM, and not encrypted"), "{unusable}");
    let stranger = refused(engines(None, "client.pem").find(&platform).await);
    assert!(stranger.contains("certificate"), "{stranger}");
}
