//! How the broker is: its status in full, and parts of it (EN-064, EN-067).

use serde_json::{Value, json};

use super::{
    super::{
        call::{self, Call},
        failure::{Failure, code},
        guise::Guise,
        listener,
        options::{Switch, text},
        verb::{Section, Verb},
    },
    health,
};

const CTL_AND_DIAGNOSTICS: &[Guise] = &[Guise::Ctl, Guise::Diagnostics];
const DIAGNOSTICS: &[Guise] = &[Guise::Diagnostics];
const UNIT: &[Switch] = &[text("unit")];

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    Verb::new("status", Section::Nodes, "[--unit <unit>]", "Shows how the broker is", |call| {
        let node = call.node()?;
        call.banner(format!("Status of node {node} ..."));
        status(call)
    })
    .with(UNIT)
    .shown_by(CTL_AND_DIAGNOSTICS),
    Verb::new("cluster_status", Section::Nodes, "", "Shows the cluster, of one node", |call| {
        let node = call.node()?;
        call.banner(format!("Cluster status of node {node} ..."));
        cluster_status(call)
    })
    .shown_by(CTL_AND_DIAGNOSTICS),
    Verb::new(
        "report",
        Section::Monitoring,
        "",
        "Shows everything that helps to find out what is wrong",
        report,
    )
    .shown_by(CTL_AND_DIAGNOSTICS),
    Verb::new(
        "memory_breakdown",
        Section::Monitoring,
        "[--unit <unit>]",
        "Shows what memory is used for",
        memory_breakdown,
    )
    .with(UNIT)
    .shown_by(DIAGNOSTICS),
    Verb::new("listeners", Section::Monitoring, "", "Lists where the broker listens", listeners)
        .shown_by(DIAGNOSTICS),
    Verb::new("server_version", Section::Monitoring, "", "Shows the broker's version", |call| {
        let node = call.node()?;
        call.banner(format!("Asking node {node} for its RabbitMQ version..."));
        let overview = call.get(&["overview"])?.unwrap_or_default();
        call.say(word(&overview["rabbitmq_version"]));
        Ok(())
    })
    .shown_by(DIAGNOSTICS),
    Verb::new(
        "erlang_version",
        Section::Other,
        "",
        "Shows what stands for Erlang's version",
        |call| {
            let overview = call.get(&["overview"])?.unwrap_or_default();
            call.say(word(&overview["erlang_full_version"]));
            Ok(())
        },
    )
    .shown_by(DIAGNOSTICS),
    Verb::new("log_location", Section::Monitoring, "", "Shows where the log is written", |call| {
        let node = call.node()?;
        call.banner(format!("Log file location(s) on node {node} ..."));
        let info = call.get(&["nodes", &node])?.unwrap_or_default();
        for file in words(&info["log_files"]) {
            call.say(file);
        }
        Ok(())
    })
    .shown_by(DIAGNOSTICS),
];

/// Text, a number or a truth value, for people.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().map(|values| values.iter().map(word).collect()).unwrap_or_default()
}

/// A unit of information, as RabbitMQ names them.
#[derive(Clone, Debug)]
struct Unit {
    name: String,
    bytes: f64,
}

impl Unit {
    fn of(call: &Call) -> Result<Self, Failure> {
        let name = call.options.text("unit").unwrap_or("gb").to_lowercase();
        let bytes = match name.as_str() {
            "b" | "bytes" => 1.0,
            "k" | "kib" => 1024.0,
            "m" | "mib" => 1024_f64.powi(2),
            "g" | "gib" => 1024_f64.powi(3),
            "t" | "tib" => 1024_f64.powi(4),
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            _ => {
                let known = "bytes, kb, mb, gb, tb, kib, mib, gib, tib";
                let problem = format!("unit '{name}' is not supported, use one of: {known}");
                return Err(call.misused(code::USAGE, &problem));
            }
        };
        Ok(Self { name, bytes })
    }

    /// A size in it, with four digits after the point at most.
    fn show(&self, bytes: &Value) -> String {
        match bytes.as_f64() {
            Some(bytes) if self.bytes > 1.0 => {
                format!("{} {}", rounded(bytes / self.bytes, 4), self.name)
            }
            Some(bytes) => format!("{bytes} {}", self.name),
            None => "(not available)".into(),
        }
    }
}

/// A number with so many digits after the point at most, and one at least.
fn rounded(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

/// What memory is used for: name, bytes and share in percent, the largest first.
fn breakdown(memory: &Value) -> Vec<(String, u64, f64)> {
    let memory = &memory["memory"];
    let total = match &memory["total"] {
        Value::Object(totals) => totals.values().filter_map(Value::as_u64).max(),
        total => total.as_u64(),
    };
    let total = total.unwrap_or(0).max(1) as f64;
    let parts = memory.as_object().cloned().unwrap_or_default();
    let part = |(name, bytes): (String, Value)| {
        let bytes = bytes.as_u64().filter(|_| name != "total")?;
        Some((name, bytes, bytes as f64 * 100.0 / total))
    };
    let mut parts: Vec<_> = parts.into_iter().filter_map(part).collect();
    parts.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
    parts
}

fn memory_of(call: &mut Call) -> Result<Value, Failure> {
    let node = call.node()?;
    Ok(call.get(&["nodes", &node, "memory"])?.unwrap_or_default())
}

fn memory_breakdown(call: &mut Call) -> Result<(), Failure> {
    let unit = Unit::of(call)?;
    let node = call.node()?;
    call.banner(format!("Reporting memory breakdown on node {node}..."));
    let parts = breakdown(&memory_of(call)?);
    let line = |(name, bytes, percent): &(String, u64, f64)| {
        format!("{name}: {} ({}%)", unit.show(&json!(bytes)), rounded(*percent, 2))
    };
    let lines: Vec<_> = parts.iter().map(line).collect();
    let object = |(name, bytes, percent): &(String, u64, f64)| {
        let percent = (percent * 100.0).round() / 100.0;
        (name.clone(), json!({"bytes": bytes, "percentage": percent}))
    };
    call.result(lines.join("\n"), &Value::Object(parts.iter().map(object).collect()));
    Ok(())
}

fn listeners(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Asking node {node} to report its protocol listeners ..."));
    let listeners = listener::all(call)?;
    let lines: Vec<_> = listeners.iter().map(listener::Listener::line).collect();
    let objects: Vec<_> = listeners.iter().map(|listener| listener.json(&node)).collect();
    let value = json!({"result": "ok", "node": node, "listeners": objects});
    call.result(lines.join("\n"), &value);
    Ok(())
}

/// A part of a text for people: a title, a blank line, the lines.
fn section(text: &mut String, title: &str, lines: &[String]) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(title);
    text.push_str("\n\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    if lines.is_empty() {
        text.push_str("(none)\n");
    }
}

/// What there is to say about the node.
struct Facts {
    node: String,
    overview: Value,
    info: Value,
    memory: Value,
    vhosts: usize,
    alarms: Vec<String>,
    listeners: Vec<listener::Listener>,
}

impl Facts {
    fn of(call: &mut Call) -> Result<Self, Failure> {
        let node = call.node()?;
        Ok(Self {
            overview: call.get(&["overview"])?.unwrap_or_default(),
            info: call.get(&["nodes", &node])?.unwrap_or_default(),
            memory: memory_of(call)?,
            vhosts: call.get_list(&["vhosts"])?.unwrap_or_default().len(),
            alarms: health::raised(call)?,
            listeners: listener::all(call)?,
            node,
        })
    }

    fn total_memory(&self) -> Value {
        let memory = &self.memory["memory"];
        let strategy = memory["strategy"].as_str().unwrap_or("rss");
        match &memory["total"] {
            Value::Object(totals) => totals.get(strategy).cloned().unwrap_or_default(),
            total => total.clone(),
        }
    }

    fn alarm_lines(&self) -> Vec<String> {
        self.alarms.iter().map(|resource| health::alarm_line(resource, &self.node)).collect()
    }

    fn runtime_lines(&self) -> Vec<String> {
        let Self { overview, info, node, .. } = self;
        let uptime = info["uptime"].as_u64().unwrap_or_default() / 1000;
        let mut lines = vec![
            format!("OS PID: {}", word(&info["os_pid"])),
            format!("OS: {}", os_name()),
            format!("Uptime (seconds): {uptime}"),
            format!("Is under maintenance?: {}", info["being_drained"] == true),
        ];
        for (title, key) in
            [("Product name", "product_name"), ("Product version", "product_version")]
        {
            if overview[key].as_str().is_some_and(|text| !text.is_empty()) {
                lines.push(format!("{title}: {}", word(&overview[key])));
            }
        }
        lines.push(format!("RabbitMQ version: {}", word(&overview["rabbitmq_version"])));
        lines.push(format!("Node name: {node}"));
        lines.push(format!("Erlang configuration: {}", word(&overview["erlang_full_version"])));
        lines
    }

    fn memory_lines(&self, unit: &Unit) -> Vec<String> {
        let strategy = word(&self.memory["memory"]["strategy"]);
        let limit = unit.show(&self.info["mem_limit"]);
        let mut lines = vec![
            format!("Total memory used: {}", unit.show(&self.total_memory())),
            format!("Calculation strategy: {strategy}"),
            format!("Memory high watermark setting: computed to: {limit}"),
            String::new(),
        ];
        for (name, bytes, percent) in breakdown(&self.memory) {
            let percent = rounded(percent, 2);
            lines.push(format!("{name}: {} ({percent} %)", unit.show(&json!(bytes))));
        }
        lines
    }

    fn text(&self, unit: &Unit) -> String {
        let Self { overview, info, .. } = self;
        let bullets = |value: &Value| -> Vec<String> {
            words(value).into_iter().map(|word| format!(" * {word}")).collect()
        };
        let totals = &overview["object_totals"];
        let mut text = String::new();
        section(&mut text, "Runtime", &self.runtime_lines());
        section(&mut text, "Plugins", &bullets(&info["enabled_plugins"]));
        let place = format!("Node data directory: {}", word(&info["db_dir"]));
        section(&mut text, "Data directory", &[place]);
        section(&mut text, "Config files", &bullets(&info["config_files"]));
        section(&mut text, "Log file(s)", &bullets(&info["log_files"]));
        section(&mut text, "Alarms", &self.alarm_lines());
        section(&mut text, "Memory", &self.memory_lines(unit));
        let disk = [
            format!("Low free disk space watermark: {}", unit.show(&info["disk_free_limit"])),
            format!("Free disk space: {}", unit.show(&info["disk_free"])),
        ];
        section(&mut text, "Free Disk Space", &disk);
        let totals = [
            format!("Connection count: {}", word(&totals["connections"])),
            format!("Queue count: {}", word(&totals["queues"])),
            format!("Virtual host count: {}", self.vhosts),
        ];
        section(&mut text, "Totals", &totals);
        let listeners: Vec<_> = self.listeners.iter().map(listener::Listener::line).collect();
        section(&mut text, "Listeners", &listeners);
        text.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        let Self { overview, info, node, .. } = self;
        let totals = &overview["object_totals"];
        let alarm =
            |what: &String| json!({"type": "resource_limit", "resource": what, "node": node});
        json!({
            "pid": word(&info["os_pid"]).parse::<u64>().unwrap_or_default(),
            "os": os_name(),
            "uptime": info["uptime"].as_u64().unwrap_or_default() / 1000,
            "is_under_maintenance": info["being_drained"] == true,
            "product_name": overview["product_name"],
            "product_version": overview["product_version"],
            "rabbitmq_version": overview["rabbitmq_version"],
            "erlang_version": overview["erlang_full_version"],
            "net_ticktime": info["net_ticktime"],
            "run_queue": info["run_queue"],
            "processes": {"used": info["proc_used"], "limit": info["proc_total"]},
            "active_plugins": info["enabled_plugins"],
            "data_directory": info["db_dir"],
            "raft_data_directory": info["db_dir"],
            "config_files": info["config_files"],
            "log_files": info["log_files"],
            "alarms": self.alarms.iter().map(alarm).collect::<Vec<_>>(),
            "tags": [],
            "memory": self.memory["memory"],
            "vm_memory_calculation_strategy": self.memory["memory"]["strategy"],
            "vm_memory_high_watermark_limit": info["mem_limit"],
            "disk_free_limit": info["disk_free_limit"],
            "disk_free": info["disk_free"],
            "totals": {
                "connection_count": totals["connections"],
                "queue_count": totals["queues"],
                "virtual_host_count": self.vhosts,
            },
            "listeners":
                self.listeners.iter().map(|listener| listener.json(node)).collect::<Vec<_>>(),
        })
    }
}

fn os_name() -> &'static str {
    if cfg!(target_os = "linux") { "Linux" } else { "Unix" }
}

fn status(call: &mut Call) -> Result<(), Failure> {
    let unit = Unit::of(call)?;
    let facts = Facts::of(call)?;
    call.result(facts.text(&unit), &facts.json());
    Ok(())
}

fn cluster_status(call: &mut Call) -> Result<(), Failure> {
    let facts = Facts::of(call)?;
    let Facts { node, overview, info, .. } = &facts;
    let flags = call.get_list(&["feature-flags"])?.unwrap_or_default();
    let (cores, version) = (word(&info["processors"]), word(&overview["rabbitmq_version"]));
    let mut text = String::new();
    let basics = [
        format!("Cluster name: {}", word(&overview["cluster_name"])),
        format!("Total CPU cores available cluster-wide: {cores}"),
    ];
    section(&mut text, "Basics", &basics);
    section(&mut text, "Disk Nodes", std::slice::from_ref(node));
    section(&mut text, "Running Nodes", std::slice::from_ref(node));
    let erlang = word(&overview["erlang_version"]);
    section(&mut text, "Versions", &[format!("{node}: RabbitMQ {version} on Erlang {erlang}")]);
    section(&mut text, "CPU Cores", &[format!("Node: {node}, available CPU cores: {cores}")]);
    let status =
        if info["being_drained"] == true { "under maintenance" } else { "not under maintenance" };
    section(&mut text, "Maintenance status", &[format!("Node: {node}, status: {status}")]);
    section(&mut text, "Alarms", &facts.alarm_lines());
    section(&mut text, "Network Partitions", &[]);
    let line = |listener: &listener::Listener| {
        listener.line().replacen("Interface", &format!("Node: {node}, interface"), 1)
    };
    let lines: Vec<_> = facts.listeners.iter().map(line).collect();
    section(&mut text, "Listeners", &lines);
    let line =
        |flag: &Value| format!("Flag: {}, state: {}", word(&flag["name"]), word(&flag["state"]));
    let lines: Vec<_> = flags.iter().map(line).collect();
    section(&mut text, "Feature flags", &lines);
    let of_node = |value: Value| json!({ node.as_str(): value });
    let listeners: Vec<_> = facts.listeners.iter().map(|listener| listener.json(node)).collect();
    let flag = |flag: &Value| json!({"name": flag["name"], "state": flag["state"]});
    let value = json!({
        "cluster_name": overview["cluster_name"],
        "disk_nodes": [node],
        "ram_nodes": [],
        "running_nodes": [node],
        "versions": of_node(json!({
            "rabbitmq_name": "RabbitMQ",
            "rabbitmq_version": version,
            "erlang_version": erlang,
        })),
        "cpu_cores": of_node(info["processors"].clone()),
        "maintenance_status": of_node(json!(status)),
        "alarms": facts.alarm_lines(),
        "partitions": {},
        "cluster_tags": [],
        "listeners": of_node(json!(listeners)),
        "feature_flags": flags.iter().map(flag).collect::<Vec<_>>(),
    });
    call.result(text.trim_end(), &value);
    Ok(())
}

/// The commands whose output makes a report, each for every vhost where it is about one.
const REPORTED: [&str; 9] = [
    "status",
    "cluster_status",
    "list_connections",
    "list_channels",
    "list_users",
    "list_vhosts",
    "list_feature_flags",
    "list_global_parameters",
    "environment",
];
const REPORTED_BY_VHOST: [&str; 7] = [
    "list_queues",
    "list_exchanges",
    "list_bindings",
    "list_consumers",
    "list_permissions",
    "list_policies",
    "list_operator_policies",
];

fn report(call: &mut Call) -> Result<(), Failure> {
    let node = call.node()?;
    call.banner(format!("Reporting server status of node {node} ...\n"));
    for part in REPORTED {
        report_part(call, part, None);
    }
    for vhost in call.get_list(&["vhosts"])?.unwrap_or_default() {
        for part in REPORTED_BY_VHOST {
            report_part(call, part, vhost["name"].as_str());
        }
    }
    Ok(())
}

/// A part that fails does not keep the others from being reported.
fn report_part(call: &mut Call, part: &str, vhost: Option<&str>) {
    if let Err(failure) = call.run_other(part, vhost) {
        call::write(&format!("{failure}\n"));
    }
    call::write("\n");
}
