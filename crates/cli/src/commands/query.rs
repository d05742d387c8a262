//! `mana query`.

use serde_json::Value;

use crate::context::{Context, block_on};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::Running;

const EXAMPLES: &str = "\
Examples:
  mana query up
  mana query 'sum by (route) (rate(mana_edge_requests_total[5m]))'
  mana query --json 'avg_over_time(node_load1[1h])'

What runs is measured every ten seconds and kept for two years, coarser as it ages. The language is a part of PromQL (docs/QUERY.md); \
Grafana takes the operators' door (https://ops.DOMAIN/api, with a token) as a Prometheus.";

/// Asks what was measured, in PromQL
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The query
    query: String,

    /// Print as JSON, in Prometheus' shape
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    block_on(async {
        let Running { client, .. } = context.running().await?;
        let answer = client.query(&args.query).await.map_err(|error| context.failure(error))?;
        let mut output = context.output();
        if args.json {
            output.json(&answer)?;
            return Ok(Exit::Ok);
        }
        let found = &answer["data"]["result"];
        // A number or a text is a pair of time and value; else there is a list of series.
        if let Some(value) = found[1].as_str() {
            output.line(value)?;
        }
        for sample in found.as_array().into_iter().flatten().filter(|sample| sample.is_object()) {
            let name = series(&sample["metric"]);
            let values = sample["values"].as_array().cloned().unwrap_or_else(|| vec![sample["value"].clone()]);
            for value in values {
                output.line(&format!("{name}  {}", value[1].as_str().unwrap_or_default()))?;
            }
        }
        Ok(Exit::Ok)
    })
}

/// `name{label="value"}`
fn series(metric: &Value) -> String {
    let labels = metric.as_object().into_iter().flatten().filter(|(label, _)| *label != "__name__");
    let labels: Vec<String> = labels.map(|(label, value)| format!("{label}={value}")).collect();
    format!("{}{{{}}}", metric["__name__"].as_str().unwrap_or_default(), labels.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_reads_as_in_a_query() {
        let metric = serde_json::json!({"__name__": "up", "service": "chat \"x\"", "instance": "blue-1"});
        assert_eq!(series(&metric), "up{instance=\"blue-1\", service=\"chat \\\"x\\\"\"}");
        assert_eq!(series(&serde_json::json!({})), "{}");
    }
}
