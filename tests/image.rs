//! The container image, without a container engine: a root directory with nothing in it but the
//! program, what it is linked with, and what `config/Dockerfile` puts beside it.
//!
//! Needs root, for `chroot`; says so and passes where it does not have it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::harness::{Program, address};

const DOCKERFILE: &str = include_str!("../config/Dockerfile");

/// The image's root directory.
struct Image(TempDir);

impl Image {
    /// `None` where there is no root to be had.
    fn new() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let enter = Command::new("chroot").args(["/", "true"]).output();
        if !enter.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: chroot needs root");
            return None;
        }
        let image = Self(root);
        for (directory, mode) in [("usr/local/bin", 0o755), ("usr/share/lepus", 0o755)] {
            image.directory(directory, mode);
        }
        for directory in ["var/lib/rabbitmq", "etc/rabbitmq/conf.d", "run/secrets"] {
            image.directory(directory, 0o1777);
        }
        // The others reach the program through this directory.
        fs::set_permissions(image.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = env!("CARGO_BIN_EXE_lepus");
        fs::copy(program, image.path("usr/local/bin/lepus")).unwrap();
        for name in ["rabbitmq-server", "rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-plugins"] {
            symlink("lepus", image.path("usr/local/bin").join(name)).unwrap();
        }
        image.put("usr/share/lepus/image.toml", include_str!("../config/image.toml"));
        for library in libraries(program) {
            let place = image.path(library.trim_start_matches('/'));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(&library, place).unwrap();
        }
        Some(image)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn directory(&self, name: &str, mode: u32) {
        fs::create_dir_all(self.path(name)).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// What the engine would run: the image's user and variables, and those of `docker run -e`.
    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let instruction = |name: &str| -> Vec<&str> {
            DOCKERFILE.lines().filter_map(|line| line.strip_prefix(name)).collect()
        };
        let mut command = Command::new("chroot");
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        for variable in instruction("ENV ") {
            let (name, value) = variable.split_once('=').unwrap();
            command.env(name, value);
        }
        command.envs(variables.iter().copied());
        command.arg(format!("--userspec={}", instruction("USER ")[0]));
        command.arg(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// What `lepus config check` says there.
    fn check(&self, variables: &[(&str, &str)]) -> String {
        let output: Output =
            self.command(&["lepus", "config", "check"], variables).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

/// The shared libraries and the loader of a program.
fn libraries(program: &str) -> Vec<String> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let words = said.split_whitespace();
    words.filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

fn has(said: &str, setting: &str, origin: &str) -> bool {
    said.lines().any(|line| line.starts_with(setting) && line.ends_with(origin))
}

// EN-001, EN-005 to EN-007
#[test]
fn image_starts_with_nothing_else_and_honours_the_variables_of_rabbitmqs_image() {
    let Some(image) = Image::new() else { return };
    image.put("run/secrets/pass", "swordfish\n");
    let variables = [
        ("RABBITMQ_DEFAULT_USER", "app"),
        ("RABBITMQ_DEFAULT_PASS_FILE", "/run/secrets/pass"),
        ("RABBITMQ_DEFAULT_VHOST", "apps"),
        ("RABBITMQ_NODE_PORT", "0"),
        ("RABBITMQ_NODENAME", "rabbit@here"),
        ("RABBITMQ_ERLANG_COOKIE", "cookie"),
        ("LEPUS_HTTP_PORT", "0"),
        ("LEPUS_METRICS_PORT", "0"),
    ];
    let program = Program::start(&mut image.command(&["rabbitmq-server"], &variables));
    let ready = program.line();
    assert!(ready.contains("://0.0.0.0:"), "{ready}");
    assert!(ready.contains("(data /var/lib/rabbitmq/lepus, "), "{ready}");
    assert!(program.line().starts_with("Server startup complete; "));
    let port = address(&ready).port();
    let uri = format!("amqp://app:swordfish@127.0.0.1:{port}/apps");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let connection = lapin::Connection::connect(&uri, lapin::ConnectionProperties::default());
        let connection = connection.await.unwrap();
        connection.close(200, "".into()).await.unwrap();
    });
    // EN-060, EN-065, EN-076: what health checks and tests run in the container.
    for arguments in [
        &["rabbitmq-diagnostics", "-q", "ping"][..],
        &["rabbitmqctl", "await_startup"],
        &["rabbitmqctl", "add_vhost", "more"],
        &["rabbitmq-plugins", "enable", "rabbitmq_management"],
    ] {
        let output = image.command(arguments, &variables).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    assert!(image.path("var/lib/rabbitmq/lepus").is_dir());
    let (status, log) = program.stop("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
}

// EN-006, EN-007
#[test]
fn image_lets_everybody_in_unless_the_mounted_files_say_otherwise() {
    let Some(image) = Image::new() else { return };
    let said = image.check(&[]);
    let origin = "/usr/share/lepus/image.toml:5";
    assert!(has(&said, "bind = [\"0.0.0.0\", \"::\"]", origin), "{said}");
    assert!(has(&said, "loopback_users = []", "image.toml:7"), "{said}");
    image.put("etc/rabbitmq/rabbitmq.conf", "loopback_users.guest = true\nheartbeat = 10\n");
    image.put("etc/rabbitmq/conf.d/10.conf", "listeners.tcp.1 = 127.0.0.1:5672\n");
    image.put("etc/rabbitmq/enabled_plugins", "[rabbitmq_management].\n");
    image.put("etc/rabbitmq/advanced.config", "[{rabbit, [{disk_free_limit, 1000000}]}].\n");
    let said = image.check(&[("RABBITMQ_NODE_PORT", "5673")]);
    for (setting, origin) in [
        ("bind = [\"127.0.0.1\"]", "/etc/rabbitmq/conf.d/10.conf:1"),
        ("loopback_users = [\"guest\"]", "/etc/rabbitmq/rabbitmq.conf:1"),
        ("heartbeat = \"10s\"", "/etc/rabbitmq/rabbitmq.conf:2"),
        ("disk_free_limit = \"1MB\"", "/etc/rabbitmq/advanced.config:1"),
        ("amqp_port = 5673", "environment variable RABBITMQ_NODE_PORT"),
    ] {
        assert!(has(&said, setting, origin), "{setting}: {said}");
    }
    assert!(said.contains("# data directory: /var/lib/rabbitmq/lepus\n"));
}

// EN-002, EN-044
#[test]
fn image_starts_with_mounted_definitions_and_no_default_user() {
    let Some(image) = Image::new() else { return };
    image.put("etc/rabbitmq/definitions.json", include_str!("../config/definitions.json"));
    let conf = "load_definitions = /etc/rabbitmq/definitions.json\n\
                definitions.import_backend = local_filesystem\nlog.console = true\n";
    image.put("etc/rabbitmq/rabbitmq.conf", conf);
    let ports = ["RABBITMQ_NODE_PORT", "LEPUS_HTTP_PORT", "LEPUS_METRICS_PORT"].map(|v| (v, "0"));
    let program = Program::start(&mut image.command(&["rabbitmq-server"], &ports));
    let port = address(&program.line()).port();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let uri = |login: &str| format!("amqp://{login}@127.0.0.1:{port}/app");
        let connect = |uri: String| async move {
            lapin::Connection::connect(&uri, lapin::ConnectionProperties::default()).await
        };
        let channel = connect(uri("app:change-me")).await.unwrap().create_channel().await.unwrap();
        let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        let queue =
            channel.queue_declare("app.jobs".into(), passive, lapin::types::FieldTable::default());
        assert_eq!(queue.await.unwrap().message_count(), 0);
        assert!(connect(uri("guest:guest")).await.is_err());
    });
    let (status, log) = program.stop("-TERM");
    assert_eq!(status.code(), Some(0), "{log}");
}

// EN-005, EN-078
#[test]
fn dockerfile_exposes_the_ports_and_has_the_names_of_rabbitmqs_image() {
    for port in ["4369", "5671", "5672", "15671", "15672", "15691", "15692", "25672"] {
        let exposes = DOCKERFILE.lines().find(|line| line.starts_with("EXPOSE ")).unwrap();
        assert!(exposes.split(' ').any(|exposed| exposed == port), "{port}");
    }
    for name in [
        "rabbitmq-server",
        "rabbitmqctl",
        "rabbitmq-diagnostics",
        "rabbitmq-plugins",
        "rabbitmqadmin",
    ] {
        assert!(DOCKERFILE.contains(name), "{name}");
    }
    assert!(DOCKERFILE.contains("\nVOLUME /var/lib/rabbitmq\n"));
    assert!(
        Path::new("config/docker-entrypoint.sh").metadata().unwrap().permissions().mode() & 1 != 0
    );
}

// The entry point is a script for the base's shell; this machine's is one, too.
#[test]
fn entry_point_runs_what_it_is_given_and_gives_flags_to_the_broker() {
    let run = |arguments: &[&str]| {
        let directory = Path::new(env!("CARGO_BIN_EXE_lepus")).parent().unwrap();
        let path = format!("{}:/usr/bin:/bin", directory.display());
        let mut command = Command::new("config/docker-entrypoint.sh");
        let output = command.args(arguments).env("PATH", path).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["--version"]).starts_with("lepus "));
    assert_eq!(run(&["sh", "-c", "echo $0 \"$1\"", "a", "b c"]), "a b c\n");
}
