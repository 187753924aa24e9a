// Builds the page from the data in it: {"reports": [report]} or {"reports": [a, b]}, or
// {"sweep": result}.
import { compare } from './compare.js';
import { el } from './dom.js';
import { plain } from './format.js';
import { gantt } from './gantt.js';
import { links } from './links.js';
import * as sections from './sections.js';
import { sweep } from './sweep.js';
import { verdict } from './verdict.js';

// Title, contents, place on wide screens.
const kSections = [
    ['Pipeline', gantt, 'full'],
    ['Split of the step', sections.stepTime, 'left'],
    ['Critical path', sections.criticalPath, 'left'],
    ['Sensitivity', sections.sensitivity, 'left'],
    ['Against the baseline', sections.baseline, 'left'],
    ['Memory', sections.memory, 'left'],
    ['Layers', sections.layers, 'left'],
    ['Links', (report) => (report.network ? links(report) : null), 'right'],
    ['Communication', sections.communication, 'right'],
    ['Expert all-to-all', sections.allToAll, 'right'],
    ['Experts', sections.routing, 'right'],
    ['Training', sections.training, 'right'],
    ['Cost', sections.cost, 'right'],
    ['Published measurements', sections.published, 'bottom'],
    ['Confidence', sections.sureness, 'bottom'],
];
const kPlaces = ['full', 'left', 'right', 'bottom'];

// A section that cannot be drawn says so, and leaves the others alone.
function contents(make, report, reports) {
    try {
        return make(report, reports);
    } catch (error) {
        console.error(error);
        return el('p.alarm', null, `This part of the report cannot be shown: ${error.message}`);
    }
}

function facts(report) {
    const { scenario, run_info: info, graph } = report;
    const how = info.measured
        ? `measured on ${info.ranks} ranks (${info.device}, ${info.transport})`
        : `simulated: engine ${info.engine}, folding ${info.fold}`;
    const cluster = scenario.cluster?.name;
    return [cluster && `cluster ${cluster}`, `${plain(graph.ops)} ops`, `graph ${graph.hash.slice(0, 12)}`, how, `r1sim ${info.version}`]
        .filter(Boolean)
        .join(' · ');
}

const warnings = (report) =>
    (report.warnings ?? []).map((text) => el('p.warning', null, `Warning: ${text}`));

function single(report) {
    const column = (place) =>
        kSections
            .filter(([, , where]) => where === place)
            .map(([title, make]) => [title, contents(make, report, [report])])
            .filter(([, content]) => content !== null)
            .map(([title, content]) => el('section', null, el('h2', null, title), content));
    return [
        el('header', null, el('h1', null, report.scenario.name), el('p.facts', null, facts(report)), warnings(report)),
        contents(verdict, report),
        el('div.sections', null, kPlaces.map((place) => el(`div.${place}`, null, column(place)))),
    ];
}

function tag(node, index) {
    node.querySelectorAll('[data-pointer]').forEach((span) => (span.dataset.report = index));
    return node;
}

function pair(reports) {
    const letters = ['A', 'B'];
    const head = (report, i) =>
        el('div', null, el('h1', null, `${letters[i]}: ${report.scenario.name}`), el('p.facts', null, facts(report)), warnings(report), contents(verdict, report));
    const section = ([title, make]) => {
        const made = reports.map((report) => contents(make, report, reports));
        return made.every((content) => content === null)
            ? null
            : el(
                  'section',
                  null,
                  el('h2', null, title),
                  el(
                      'div.pair',
                      null,
                      made.map((content, i) => tag(el('div', null, el('h3', null, letters[i]), content ?? 'none'), i)),
                  ),
              );
    };
    return [
        el('header.pair', null, reports.map((report, i) => tag(head(report, i), i))),
        el(
            'div.full',
            null,
            el('section', null, el('h2', null, 'B against A'), el('div.pair', null, contents(compare, reports))),
            kSections.map(section),
        ),
    ];
}

const data = JSON.parse(document.getElementById('data').textContent);
const { reports, sweep: result } = data;
const names = result ? [result.name] : reports.map((report) => report.scenario.name);
document.title = `${names.join(', ')} – r1sim`;
const content = result ? sweep(result) : reports.length > 1 ? pair(reports) : single(reports[0]);
document.getElementById('page').replaceChildren(...content.flat().filter(Boolean));
