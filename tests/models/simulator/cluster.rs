//! A PostgreSQL of the simulator's own, that offers the extensions of the model and no others.
//!
//! The server reads every control file there is at each look: with few of them a look takes a
//! millisecond and not fifty. And the same seed tells the same history on every server.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use super::catalog::EXTENSIONS;
use crate::support::database::server;

/// Set in the child process.
pub const CHILD: &str = "SIMULATOR_CHILD";

/// Runs a test of this file again, in a child process beside a cluster of its own.
///
/// The child's log goes nowhere; what the test has to say it says on standard error.
pub fn run_beside(test: &str) -> String {
    let folder = Folder::new();
    let bin = lean_server(&folder.0);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/postgres.py");
    let output = Command::new("python3")
        .arg(script)
        .arg("run")
        .arg("--bin")
        .arg(bin)
        .arg("--")
        .arg(std::env::current_exe().expect("this very program"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        // OpenSSL would read the system's whole bundle for every connection.
        .env("SSL_CERT_FILE", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .expect("python3, which starts the server");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}:\n{said}", output.status);
    said
}

/// Where the server's files go; removed at the end. The server's account must get in: a place
/// below somebody's home may be closed to it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("simulator-{}", std::process::id()));
        fs::create_dir(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in /tmp harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lays out the server of the tests again, with our extensions in place of its own; returns the
/// folder of its programs. PostgreSQL finds its files by where its own binary lies.
fn lean_server(folder: &Path) -> PathBuf {
    let rows = server()
        .connect("postgres")
        .query("SELECT setting FROM pg_config WHERE name IN ('BINDIR', 'SHAREDIR') ORDER BY name");
    let [bin, share] = [0, 1].map(|row| PathBuf::from(&rows[row][0]));
    let base: PathBuf = bin
        .components()
        .zip(share.components())
        .take_while(|(a, b)| a == b)
        .map(|(same, _)| same)
        .collect::<Vec<Component<'_>>>()
        .iter()
        .collect();
    let beside =
        |path: &Path| folder.join(path.strip_prefix(&base).expect("a path below the base"));
    let (new_bin, new_share) = (beside(&bin), beside(&share));
    fs::create_dir_all(&new_bin).expect("a folder");
    for program in ["initdb", "postgres"] {
        fs::copy(bin.join(program), new_bin.join(program)).expect("the server's programs");
    }
    let library = bin.with_file_name("lib");
    symlink(library, new_bin.with_file_name("lib")).expect("a link");
    fs::create_dir_all(new_share.join("extension")).expect("a folder");
    for entry in fs::read_dir(&share).expect("the server's files").flatten() {
        if entry.file_name() != "extension" {
            symlink(entry.path(), new_share.join(entry.file_name())).expect("a link");
        }
    }
    let own = share.join("extension");
    for entry in fs::read_dir(&own).expect("the server's extensions").flatten() {
        if entry.file_name().to_string_lossy().starts_with("plpgsql") {
            symlink(entry.path(), new_share.join("extension").join(entry.file_name()))
                .expect("a link");
        }
    }
    for extension in EXTENSIONS {
        for (file, text) in extension.files() {
            fs::write(new_share.join("extension").join(file), text).expect("a file");
        }
    }
    new_bin
}
