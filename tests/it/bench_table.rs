//! `tidegate bench` prints its table. Whether a figure is good is not a test's to say: it depends on the machine.

use serde_json::Value;
use tokio::process::Command;

#[tokio::test]
async fn shows_2_9_bench_prints_its_table_with_ratios() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["bench", "--rounds", "1", "--seconds", "0.3", "--json"])
        .arg(&file)
        .kill_on_drop(true)
        .output()
        .await
        .expect("cargo built it");
    let table = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}\n{errors}");
    let json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let scenarios = json["scenarios"].as_array().unwrap();
    let mut shown = Vec::new();
    for scenario in scenarios {
        let (name, ratio) = (
            scenario["name"].as_str().unwrap(),
            scenario["ratio"].as_f64().unwrap(),
        );
        assert!(table.contains(name), "{name} is in the table:\n{table}");
        assert!(ratio > 0.0, "{name} was measured");
        shown.push(format!("{name} {ratio:.2}"));
    }
    assert_eq!(shown.len(), 4, "{table}");
    println!(
        "SHOWS 2.9 bench prints its table; gateway / floor in a build for tests, one short round on a busy machine: {}",
        shown.join(", ")
    );
}

#[tokio::test]
async fn shows_3_9_bench_durable_prints_its_ratios() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["bench", "durable", "--rounds", "1", "--seconds", "4"])
        .arg("--path")
        .arg(folder.path())
        .arg("--json")
        .arg(&file)
        .kill_on_drop(true)
        .output()
        .await
        .expect("cargo built it");
    let table = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    // It fails when a result is lost, comes twice, or is not what was sent.
    assert!(output.status.success(), "{table}\n{errors}");
    let json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let (servers, ratios) = (
        json["servers"].as_array().unwrap(),
        json["ratios"].as_array().unwrap(),
    );
    for server in servers {
        assert!(server["packets"].as_u64().unwrap() > 0, "{server}");
    }
    assert!(
        !errors.contains("no nats-server"),
        "there is nothing to measure beside: `make tools` installs a nats-server"
    );
    assert_eq!(ratios.len(), 3, "{table}");
    let shown = ratios.iter().map(|ratio| {
        let (to, ratio) = (
            ratio["to"].as_str().unwrap(),
            ratio["ratio"].as_f64().unwrap(),
        );
        assert!(table.contains(to), "{to} is in the table:\n{table}");
        assert!(ratio > 0.0, "{to} was measured");
        format!("{to} {ratio:.2}")
    });
    println!(
        "SHOWS 3.9 durable packets, accepted, run, their results received and settled, none lost or doubled; gateway by another, in a build for tests, one short round on a busy machine: {}",
        shown.collect::<Vec<_>>().join("; ")
    );
}
