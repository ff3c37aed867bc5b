/**
 * What an operator watches, as Prometheus metrics. Gauges are read when they are asked for; only requests are counted
 * live.
 */
import { Counter, Gauge, Registry } from 'prom-client';

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
  readonly #requests: Counter;

  constructor(sources: MetricSources) {
    this.#requests = new Counter({
      name: 'tq_requests_total',
      help: 'Requests answered, by route and status.',
      labelNames: ['route', 'status'],
      registers: [this.#registry],
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
    this.#requests.inc({ route, status });
  }

  async text(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}
