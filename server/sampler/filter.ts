/**
 * The language of `where`: which rows are meant, by their tags and numbers.
 *
 *   status == "finished" and (reward > 0.5 or not exists judge) and source.name not in ["a", "b"]
 *
 *   filter  = and { "or" and }                     "not" binds tighter than "and", "and" tighter than "or"
 *   and     = not { "and" not }
 *   not     = "not" not | "(" filter ")" | test
 *   test    = name ( "==" | "!=" ) value
 *           | name ( "<" | "<=" | ">" | ">=" ) ( number | string )
 *           | name [ "not" ] "in" "[" [ value { "," value } ] "]"
 *           | "exists" name
 *   value   = number | string | "true" | "false" | "null"
 *   name    = [A-Za-z_][A-Za-z0-9_-]*, and after a dot, which leads into nested JSON, [A-Za-z0-9_][A-Za-z0-9_-]*
 *   number  = as in JSON;  string = as in JSON, in double or in single quotes
 *
 * What a test says about the value of its name (a name that the row does not have has the value null):
 *
 *   value is       == v, in [v]      != v, not in [v]   < <= > >=                        exists
 *   null           v is null         v is another       false                            false
 *   true, false    the same          not the same       false                            true
 *   number         the same number   not the same       by size, if v is a number        true
 *   string         the same string   not the same       by UTF-16 units, if v is one     true
 *   list, object   false             true               false                            true
 *   NaN            false             false              false                            true
 *
 * There are two truth values: `not` holds where its filter does not, whatever the reason. Values of different types
 * are different and have no order: nothing is converted. NaN is what a broken reward model gives: no comparison holds
 * for it, not even `!=`, so that it gets into no batch by a test that it did not pass.
 */
export { compileFilter, type Predicate, type ValueOf } from './filter_compile.ts';
export { parseFilter } from './filter_parse.ts';
export { FilterError } from './filter_tokens.ts';
export { filterLimits, filterNames, filterText, type Filter } from './filter_tree.ts';
