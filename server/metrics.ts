/**
 * What an operator watches, as Prometheus metrics. Gauges are read when they are asked for; only requests are counted
 * live.
 */
import { Counter, Gauge, Registry } from 'prom-client';

/** The statuses of answers have three digits. */
const STATUS_END = 600;

/** Numbers that the parts of the server offer, read at each scrape. */
export interface MetricSources {
  readonly gauges: readonly {
    readonly name: string;
    readonly help: string;
    readonly labels?: readonly string[];
    read(): number | readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
  }[];
}

export class Metrics {
  readonly #registry = new Registry();
  /** Requests by route, and by status within: the registry would make objects and strings for each of them. */
  readonly #requests = new Map<string, Float64Array>();

  constructor(sources: MetricSources) {
    const requests = this.#requests;
    new Counter({
      name: 'tq_requests_total',
      help: 'Requests answered, by route and status.',
      labelNames: ['route', 'status'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [route, counts] of requests) {
          counts.forEach((count, status) => count > 0 && this.inc({ route, status }, count));
        }
      },
    });
    for (const source of sources.gauges) {
      new Gauge({
        name: source.name,
        help: source.help,
        labelNames: [...(source.labels ?? [])],
        registers: [this.#registry],
        collect() {
          const read = source.read();
          this.reset();
          if (typeof read === 'number') this.set(read);
          else for (const { labels, value } of read) this.set(labels, value);
        },
      });
    }
  }

  observe(route: string, status: number): void {
    let counts = this.#requests.get(route);
    if (counts === undefined) this.#requests.set(route, (counts = new Float64Array(STATUS_END)));
    counts[status]++;
  }

  async text(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
