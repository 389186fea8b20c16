//! What is packed: the Dockerfile, which needs a daemon to be run, agrees with the Makefile that it runs; the systemd unit is one
//! that systemd takes, and leaves a gateway the time to stop.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What stands behind this, in each line that begins with it.
fn behind<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    let lines = text.lines();
    lines.filter_map(|line| line.strip_prefix(begin)).collect()
}

#[test]
fn the_dockerfile_packs_what_make_static_makes() {
    let (dockerfile, makefile) = (read("Dockerfile"), read("Makefile"));
    let images = behind(&dockerfile, "FROM ");
    assert!(images[0].starts_with("rust:"), "{images:?}");
    assert_eq!(images[1..], ["scratch"]);
    let runs = behind(&dockerfile, "RUN ");
    assert!(runs[0].starts_with("make static "), "{runs:?}");
    assert_eq!(behind(&makefile, "static: ").len(), 1);

    let workdir = behind(&dockerfile, "WORKDIR ");
    let made = format!("{}/target/static/tidegate /tidegate", workdir[0]);
    let copies = behind(&dockerfile, "COPY --from=builder ");
    assert!(copies.contains(&&*made), "{copies:?}");
    let made = makefile.lines().any(|line| {
        line.trim_start().starts_with("strip ") && line.contains(" -o target/static/tidegate ")
    });
    assert!(made, "make static leaves it there");

    // There is no shell and no list of users in it.
    let user = behind(&dockerfile, "USER ");
    let (user, group) = user[0].split_once(':').unwrap();
    assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0);
    assert_eq!(behind(&dockerfile, "ENTRYPOINT "), ["[\"/tidegate\"]"]);
    assert_eq!(behind(&dockerfile, "CMD "), ["[\"serve\"]"]);
    // What every build makes anew must not be what makes it anew.
    let ignored = read(".dockerignore");
    for name in [".git", "**/target", "**/node_modules", "tidegate-data"] {
        assert!(ignored.lines().any(|line| line == name), "{name}");
    }
}

#[test]
fn the_unit_is_one_and_leaves_time_to_stop() {
    let unit = read("config/tidegate.service");
    let seconds = |key| humantime::parse_duration(behind(&unit, key)[0]).unwrap();
    let default: toml::Table = read("config/default.toml").parse().unwrap();
    let drain = default["server"]["drain"].as_str().unwrap();
    let drain = humantime::parse_duration(drain).unwrap();
    assert!(seconds("TimeoutStopSec=") >= drain + Duration::from_secs(5));
    // EX_USAGE, which a wrong configuration ends with.
    assert_eq!(behind(&unit, "RestartPreventExitStatus="), ["64"]);

    // It wants the program to be there.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.service");
    let program = env!("CARGO_BIN_EXE_tidegate");
    fs::write(&path, unit.replace("/usr/local/bin/tidegate", program)).unwrap();
    let mut verify = Command::new("systemd-analyze");
    match verify.arg("verify").arg(&path).output() {
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && told.is_empty(), "{told}");
        }
        Err(error) => println!("systemd-analyze is not here, so it has not looked: {error}"),
    }
}
