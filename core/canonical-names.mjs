/**
 * Compiler transform of core/build.mjs: gives the functions of core/assembly/component.ts the export names of the
 * component model, which are no identifiers of AssemblyScript.
 *
 *     hash__xxh64_many   ->   transfer-queue:core/hash@0.1.0#xxh64-many
 *                             cabi_post_transfer-queue:core/hash@0.1.0#xxh64-many   = release, when it returns an i32
 */

const PACKAGE = 'transfer-queue:core';
const VERSION = '0.1.0';

export class CanonicalNames {
  /** Called by asc with the Binaryen module; asc puts `binaryen` on the prototype. */
  afterCompile(module) {
    const { binaryen } = this;
    const exported = exportsOf(binaryen, module);
    const release = exported.get('release');
    module.removeExport('release');
    for (const [name, target] of exported) {
      const [space, rest] = name.split('__');
      if (!rest) continue;
      const canonical = `${PACKAGE}/${space}@${VERSION}#${rest.replaceAll('_', '-')}`;
      module.removeExport(name);
      module.addFunctionExport(target, canonical);
      const { results } = binaryen.getFunctionInfo(module.getFunction(target));
      if (results === binaryen.i32) module.addFunctionExport(release, `cabi_post_${canonical}`);
    }
  }
}

/** Name and internal function name of each exported function. */
function exportsOf(binaryen, module) {
  const exported = new Map();
  for (let i = 0; i < module.getNumExports(); i++) {
    const { name, value, kind } = binaryen.getExportInfo(module.getExportByIndex(i));
    if (kind === binaryen.ExternalFunction) exported.set(name, value);
  }
  return exported;
}
