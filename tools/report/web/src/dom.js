// Elements, and numbers that say where in the report they come from.

// el('p.note', {title: 'x'}, child, …): children are nodes, texts or lists of either.
export function el(name, attributes, ...children) {
    const [tag, ...classes] = name.split('.');
    const element = document.createElement(tag);
    if (classes.length) {
        element.className = classes.join(' ');
    }
    for (const [key, value] of Object.entries(attributes ?? {})) {
        if (value !== undefined && value !== null && value !== false) {
            element.setAttribute(key, value === true ? '' : value);
        }
    }
    element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
    return element;
}

// The value at a JSON pointer; undefined where there is none.
export function at(json, pointer) {
    return pointer
        .split('/')
        .slice(1)
        .reduce((value, key) => value?.[key.replaceAll('~1', '/').replaceAll('~0', '~')], json);
}

// The number at `pointer` as `format` shows it: its text in the page, the whole number on hover.
export function number(report, pointer, format) {
    const value = at(report, pointer);
    if (typeof value !== 'number') {
        return el('span.none', { 'data-pointer': pointer }, '–');
    }
    return el('span.number', { 'data-pointer': pointer, title: String(value) }, format(value));
}

// A name of parts, as contents of an element: where it does not fit, it breaks after a part.
export function breakable(name) {
    return name.split(/(?<=[./_])/).map((part, i) => (i === 0 ? part : [el('wbr'), part]));
}

// Columns: [title, class?]; rows: lists of cells, nodes or texts.
export function table(columns, rows) {
    const cell = (tag) => (content, i) => el(`${tag}${columns[i][1] ? '.' + columns[i][1] : ''}`, null, content);
    return el(
        'div.scroll',
        { tabindex: 0 },
        el(
            'table',
            null,
            el('thead', null, el('tr', null, columns.map(([title], i) => cell('th')(title, i)))),
            el('tbody', null, rows.map((row) => el('tr', null, row.map(cell('td'))))),
        ),
    );
}

// entries: [colour, text]; colour 'hatched' or 'framed' for the styles of that name.
export function legend(entries, ...more) {
    const swatch = (color) => (color.startsWith('#') ? el('i', { style: `background:${color}` }) : el(`i.${color}`));
    return el('div.legend', null, entries.map(([color, text]) => el('span.key', null, swatch(color), text)), more);
}

// A table too long to stand in the way.
export function folded(title, content) {
    return el('details', null, el('summary', null, title), content);
}

// A level of confidence, in words and colour; the error, where it is known.
export function confidence(level, errorPercent, what) {
    const error = typeof errorPercent === 'number' ? ` ±${errorPercent.toFixed(1)} %` : '';
    return el(`span.level.${level}`, { title: what }, `${level}${error}`);
}
