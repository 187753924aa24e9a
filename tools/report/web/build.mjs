// Bundles src/ and ECharts into one page: node build.mjs [FILE], default dist/page.html. Same inputs,
// same bytes. r1sim puts the data of its reports where the page says R1SIM_DATA.
import { build } from 'esbuild';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, 'dist/page.html');
const text = (file) => readFileSync(join(here, file), 'utf8');

async function bundle(entry) {
    const result = await build({
        entryPoints: [join(here, entry)],
        bundle: true,
        minify: true,
        write: false,
        format: 'iife',
        target: 'es2020',
        legalComments: 'none', // all notices stand at the top of the page
        charset: 'utf8',
        define: { 'process.env.NODE_ENV': '"production"' },
    });
    return result.outputFiles[0].text.trim();
}

function notices() {
    const licence = (name, file) => {
        const { version, license } = JSON.parse(text(`node_modules/${name}/package.json`));
        return `${name} ${version} (${license})\n\n${text(`node_modules/${name}/${file}`).trim()}`;
    };
    const used = [
        `${licence('echarts', 'NOTICE')}\n\nLicensed under the Apache License, Version 2.0:
http://www.apache.org/licenses/LICENSE-2.0`,
        licence('zrender', 'LICENSE'),
        licence('tslib', 'LICENSE.txt'),
    ];
    return used.join('\n\n----\n\n').replaceAll('\r', '').replaceAll('--', '- -');
}

const parts = {
    NOTICES: notices(),
    STYLE: await bundle('src/style.css'),
    SCRIPT: (await bundle('src/main.js')).replaceAll('</script', '<\\/script'),
};
// As a function: replacements are no patterns.
const page = text('src/page.html').replace(/R1SIM_(NOTICES|STYLE|SCRIPT)/g, (_, part) => parts[part]);
mkdirSync(dirname(target), { recursive: true });
writeFileSync(target, page);
