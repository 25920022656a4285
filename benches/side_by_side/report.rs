//! The results as a table and as a plot.

use std::fmt::Write as _;

/// One case: the floor's figure first, the gateway's second. Times in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) ratio: f64,
    pub(crate) cpu: [f64; 2],
    /// For a core, while it could have run.
    pub(crate) waited: [f64; 2],
    pub(crate) p50: [f64; 2],
    pub(crate) p99: [f64; 2],
    pub(crate) first: [f64; 2],
    pub(crate) rate: [f64; 2],
    pub(crate) failed: usize,
}

impl Row {
    pub(crate) fn line(&self) -> String {
        let added = |both: [f64; 2]| format!("{:+.0}", both[1] - both[0]);
        let failed = if self.failed > 0 {
            format!(" ({} failed)", self.failed)
        } else {
            String::new()
        };
        format!(
            "| {}{failed} | {:.1} | {:.1} | **{:.2}×** | {} | {} | {} | {:.0} | {:.0} |",
            self.name,
            self.cpu[0],
            self.cpu[1],
            self.ratio,
            added(self.p50),
            added(self.p99),
            added(self.first),
            self.rate[0],
            self.rate[1],
        )
    }
}

/// Of a load at fixed times: how long requests took with no proxy in between, through the floor, and
/// through the gateway, and how long both waited for a core.
pub(crate) fn paced(row: &Row, alone: [f64; 2]) -> String {
    format!(
        "{}, at {:.0} a second, 64 connections: p50 {:.0} µs with no proxy, {:.0} floor, {:.0} gateway; p99 {:.0}, {:.0}, {:.0}. Waited for a core a request: floor {:.1} µs, gateway {:.1} µs.",
        row.name,
        row.rate[1],
        alone[0],
        row.p50[0],
        row.p50[1],
        alone[1],
        row.p99[0],
        row.p99[1],
        row.waited[0],
        row.waited[1],
    )
}

pub(crate) fn markdown(
    rows: &[Row],
    paced: &[String],
    first: Option<[f64; 2]>,
    memory: &[(String, [f64; 2])],
    events: f64,
) -> String {
    let mut out = String::from(
        "| case | floor CPU µs/request | gateway | ratio | added p50 µs | added p99 µs | added to first byte µs | floor requests/s | gateway |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let _ = writeln!(out, "{}", row.line());
    }
    for row in rows.iter().filter(|row| row.name.starts_with("dribbled")) {
        let _ = writeln!(
            out,
            "\nCPU an event of a dribbled stream: floor {:.2} µs, gateway {:.2} µs.",
            row.cpu[0] / events,
            row.cpu[1] / events
        );
    }
    for note in paced {
        let _ = writeln!(out, "\n{note}");
    }
    if let Some([floor, gateway]) = first {
        let _ = writeln!(
            out,
            "\nThe first event of a stream, from written upstream to read by the client: floor {floor:.0} µs, gateway {gateway:.0} µs, {:+.0}.",
            gateway - floor
        );
    }
    if !memory.is_empty() {
        out.push_str(
            "\n| open idle streams | floor KiB each | gateway KiB each |\n|--:|--:|--:|\n",
        );
    }
    for (streams, bytes) in memory {
        let _ = writeln!(
            out,
            "| {streams} | {:.1} | {:.1} |",
            bytes[0] / 1024.0,
            bytes[1] / 1024.0
        );
    }
    out
}

/// Bars of the CPU ratio, with the floor as a line at 1.
pub(crate) fn svg(rows: &[Row]) -> String {
    let top = rows.iter().map(|row| row.ratio).fold(2.0, f64::max).ceil();
    let (left, width, step) = (290.0, 400.0, 30.0);
    let height = 70.0 + step * rows.len() as f64;
    let x = |ratio: f64| left + width * ratio / top;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"CPU time of the gateway as a multiple of a bare proxy's\">\n<style>text {{ fill: #17201e }} .dim {{ fill: #55625f }} .bar {{ fill: #0f8a7e }} line {{ stroke: #84918d }} @media (prefers-color-scheme: dark) {{ text {{ fill: #e8eeec }} .dim {{ fill: #9aa8a4 }} .bar {{ fill: #4fd1bf }} }}</style>\n<text x=\"0\" y=\"18\" font-weight=\"600\">CPU time, all layers on, as a multiple of a bare hyper proxy</text>\n"
    );
    for (at, row) in rows.iter().enumerate() {
        let y = 42.0 + step * at as f64;
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect class=\"bar\" x=\"{left}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" rx=\"3\"/><text x=\"{:.1}\" y=\"{:.0}\">{:.2}×</text>",
            left - 10.0,
            y + 14.0,
            row.name,
            x(row.ratio) - left,
            x(row.ratio) + 6.0,
            y + 14.0,
            row.ratio
        );
    }
    let _ = writeln!(
        out,
        "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"34\" y2=\"{1}\" stroke-dasharray=\"4 3\"/><text class=\"dim\" x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">bare proxy = 1</text>\n</svg>",
        x(1.0),
        height - 28.0,
        height - 10.0
    );
    out
}
