"""A practice receiver of case submissions: nobody's interface but the hub's own, turned round."""
