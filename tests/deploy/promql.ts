/** What a PromQL expression asks for, read by Prometheus's own grammar. */
import { parser } from "@prometheus-io/lezer-promql";

export interface Selector {
  metric: string;
  matchers: { label: string; op: string; value: string }[];
  /** Labels by which what is selected is grouped, by any aggregation around it. */
  grouped: string[];
}

/** @throws {Error} for what is no expression */
export function selectorsOf(expression: string): Selector[] {
  const tree = parser.parse(expression);
  const selectors: Selector[] = [];
  const text = ({ from, to }: { from: number; to: number }) => expression.slice(from, to);
  tree.iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`no PromQL from ${node.from}: ${expression}`);
      if (node.name !== "VectorSelector") return;
      const selector: Selector = { metric: "", matchers: [], grouped: [] };
      const { node: whole } = node;
      selector.metric = text(whole.getChild("Identifier")!);
      for (
        const one of whole.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? []
      ) {
        selector.matchers.push({
          label: text(one.getChild("LabelName")!),
          op: text(one.getChild("MatchOp")!),
          value: JSON.parse(text(one.getChild("StringLiteral")!)),
        });
      }
      for (let around = whole.parent; around; around = around.parent) {
        const labels = around.getChild("AggregateModifier")?.getChild("GroupingLabels");
        selector.grouped.push(...labels?.getChildren("LabelName").map(text) ?? []);
      }
      selectors.push(selector);
    },
  });
  if (selectors.length === 0) throw new Error(`it asks for nothing: ${expression}`);
  return selectors;
}
