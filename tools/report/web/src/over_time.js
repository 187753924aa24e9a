// Unpacks report.over_time (see the report's schema): times as seconds.

const numbers = (text) => (text ? text.split(' ').map(Number) : []);

// "20 300 10 250" -> [[20, 320], [330, 580]], in seconds.
function spans(text, unit) {
    const packed = numbers(text);
    const result = [];
    let now = 0;
    for (let i = 0; i + 1 < packed.length; i += 2) {
        const start = now + packed[i];
        now = start + packed[i + 1];
        result.push([start * unit, now * unit]);
    }
    return result;
}

function context(text) {
    const [stage, direction, microBatch] = text.split('/').map(Number);
    return { stage, direction, microBatch };
}

function chunk(row, unit) {
    const [kind, of, start, end] = row.split(' ');
    return { kind, of: of.split('|').map(context), start: start * unit, end: end * unit };
}

export function lanes(report) {
    const { unit_ps, lanes } = report.over_time;
    const unit = unit_ps * 1e-12;
    return lanes.map((lane) => ({
        rank: lane.rank,
        pipelineRank: lane.pipeline_rank,
        chunks: lane.chunks.map((row) => chunk(row, unit)).filter((c) => c.end > c.start),
        compute: spans(lane.compute, unit),
        communication: Object.fromEntries(
            Object.entries(lane.communication).map(([kind, text]) => [kind, spans(text, unit)]),
        ),
    }));
}

// Per cents by link and column.
export const links = (report) =>
    report.over_time.links.map((link) => ({ id: link.id, percent: numbers(link.utilisation_percent) }));

// Per cents by expert and by node of each expert layer.
export const routingLayers = (report) =>
    (report.routing.layers ?? []).map((layer) => ({
        layer: layer.layer,
        experts: numbers(layer.expert_load),
        nodes: numbers(layer.node_share),
    }));
