from pretrain.model import PreNormLayer


class ParallelLayer(PreNormLayer):
    """Attention and feed-forward side by side (GPT-J)."""

    def forward(self, hidden, attention_mask):
        attended = self.attention(self.attention_norm(hidden), attention_mask)
        return hidden + self.dropout(attended + self.feed_forward(self.feed_forward_norm(hidden)))
