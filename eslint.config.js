/**
 * Lint rules. Each ban says what to use instead.
 *
 * Layers, from weak to strong: every file; production code (core, ts-sdk, server); the two places that get the world
 * only from their caller: `core/` (bytes in, bytes out) and `server/` outside `server/env/` (everything through Env).
 */

import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const production = ['core/**/*.ts', 'ts-sdk/**/*.ts', 'server/**/*.ts'];

/**
 * Browser globals that the DOM library declares (it is in for WebAssembly and streams); here they are typing errors.
 */
const browserGlobals = [
  'close',
  'document',
  'event',
  'history',
  'length',
  'location',
  'name',
  'open',
  'origin',
  'parent',
]
  .concat(['print', 'screen', 'self', 'status', 'stop', 'top', 'window'])
  .map((name) => ({ name, message: 'A browser global: declare or import the variable that you mean.' }));

const envGlobals = [
  { name: 'Date', message: 'Use env.clock.wallMs().' },
  { name: 'performance', message: 'Use env.clock.nowMs().' },
  { name: 'setTimeout', message: 'Use env.clock.after(ms, f).' },
  { name: 'setInterval', message: 'Use env.clock.after(ms, f), set again by f.' },
  { name: 'setImmediate', message: 'Use env.clock.soon(f).' },
  { name: 'crypto', message: 'Use env.rng.' },
  { name: 'fetch', message: 'Use env.net.' },
  { name: 'WebSocket', message: 'Use env.net.' },
  { name: 'Worker', message: 'One node is one process and one event loop.' },
];

const envProperties = [
  { object: 'Math', property: 'random', message: 'Use env.rng.' },
  { object: 'process', property: 'hrtime', message: 'Use env.clock.nowMs().' },
  { object: 'process', property: 'uptime', message: 'Use env.clock.nowMs().' },
  ...envGlobals.map(({ name, message }) => ({ object: 'globalThis', property: name, message })),
];

/** What only the command line may do: below it, a process ends by `env.crash`, and waits by `env.clock`. */
const processProperties = [
  ...['exit', 'abort', 'kill', 'reallyExit'].map((property) => ({ property, message: 'Use env.crash.' })),
  { property: 'nextTick', message: 'Use a promise, or env.clock.soon(f).' },
  { property: 'getBuiltinModule', message: 'Use env.' },
].map((one) => ({ object: 'process', ...one }));

const envModules = [
  { names: ['fs'], message: 'Use env.fs.' },
  { names: ['net', 'http', 'http2', 'https', 'tls', 'dgram', 'dns'], message: 'Use env.net.' },
  { names: ['timers', 'perf_hooks'], message: 'Use env.clock.' },
  { names: ['crypto'], message: 'Use env.rng; hashes come from @transfer-queue/core/wasm.' },
  { names: ['worker_threads', 'child_process', 'cluster'], message: 'One node is one process and one event loop.' },
  { names: ['process'], message: 'It is a global, and most of it is in env.' },
].map(({ names, message }) => ({ regex: `^(node:)?(${names.join('|')})(/|$)`, message }));

/** The same modules, by `import()`, which no-restricted-imports does not see. */
const envDynamicImports = envModules.map(({ regex, message }) => ({
  selector: `ImportExpression[source.value=/${regex.replaceAll('/', '\\u002F')}/]`,
  message,
}));

/** How code of each place may name the code of others; test/tidy.test.ts knows the finer order inside server/. */
const directions = {
  core: [
    { regex: '^node:', message: 'core/ is pure: bytes in, bytes out. The caller brings files, clock and network.' },
    { regex: '(^@transfer-queue/(server|sdk))|/(server|ts-sdk|test)/', message: 'core/ is the lowest layer.' },
  ],
  sdk: [{ regex: '(^@transfer-queue/server)|/(server|test)/', message: 'The SDK imports core only.' }],
  server: [{ regex: '(^@transfer-queue/sdk)|/(ts-sdk|test)/', message: 'The server imports core only.' }],
};

const restrictImports = (...patterns) => ({ 'no-restricted-imports': ['error', { patterns }] });

const syntax = [
  { selector: 'ExportDefaultDeclaration', message: 'Export it by name.' },
  { selector: 'TSEnumDeclaration', message: 'Use a const object (`as const`): its value is the format.' },
  { selector: 'TSModuleDeclaration[kind="namespace"]', message: 'A file is the namespace.' },
];

const everywhere = {
  eqeqeq: 'error',
  'no-console': 'off',
  'no-eval': 'error',
  'no-var': 'error',
  'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx', 'hack'] }],
  'prefer-const': 'error',
  'no-restricted-globals': ['error', ...browserGlobals],
  'no-restricted-syntax': ['error', ...syntax],
  'no-unused-vars': 'off',
  '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
  '@typescript-eslint/consistent-type-imports': 'error',
  '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
  '@typescript-eslint/no-explicit-any': 'error',
  '@typescript-eslint/no-floating-promises': 'error',
  '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
  '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
  '@typescript-eslint/prefer-promise-reject-errors': 'error',
  '@typescript-eslint/only-throw-error': 'error',
  '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
  '@typescript-eslint/require-await': 'off', // an async function without await is how a value meets an async interface
};

const inProduction = {
  'no-empty': ['error', { allowEmptyCatch: false }],
  'no-console': ['error'],
  '@typescript-eslint/explicit-module-boundary-types': 'error',
};

/** Tests look into answers of any shape; what they must not do is to forget an await. */
const inTests = {
  '@typescript-eslint/no-unsafe-argument': 'off',
  '@typescript-eslint/no-unsafe-assignment': 'off',
  '@typescript-eslint/no-unsafe-call': 'off',
  '@typescript-eslint/no-unsafe-member-access': 'off',
  '@typescript-eslint/no-unsafe-return': 'off',
  '@typescript-eslint/unbound-method': 'off',
};

const envRules = {
  'no-restricted-globals': ['error', ...browserGlobals, ...envGlobals],
  'no-restricted-properties': ['error', ...envProperties],
  'no-restricted-syntax': ['error', ...syntax, ...envDynamicImports],
};

export default defineConfig(
  globalIgnores(['**/node_modules', '.venv', 'dist', 'out', 'core/component', 'core/assembly']),
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: { ...everywhere, 'no-undef': 'off' },
  },
  { files: production, rules: inProduction },
  { files: ['test/**/*.ts'], rules: inTests },
  { files: ['ts-sdk/**/*.ts'], rules: restrictImports(...directions.sdk) },
  { files: ['core/**/*.ts'], rules: { ...envRules, ...restrictImports(...directions.core, ...envModules) } },
  {
    files: ['server/**/*.ts'],
    ignores: ['server/env/**'],
    rules: { ...envRules, ...restrictImports(...directions.server, ...envModules) },
  },
  {
    files: ['server/**/*.ts'],
    ignores: ['server/env/**', 'server/{cli,main}.ts', 'server/inspect/**'],
    rules: { 'no-restricted-properties': ['error', ...envProperties, ...processProperties] },
  },
  { files: ['server/env/**/*.ts'], rules: restrictImports(...directions.server) },
  {
    files: ['**/*.{js,mjs}'],
    languageOptions: {
      globals: {
        Buffer: 'readonly',
        URL: 'readonly',
        WebAssembly: 'readonly',
        console: 'readonly',
        process: 'readonly',
      },
    },
  },
  {
    // What a tool asks for by convention: its configuration is the default export of a file of its own.
    files: ['*.config.{ts,js}'],
    rules: { 'no-restricted-syntax': 'off' },
  },
);
